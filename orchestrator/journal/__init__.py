"""The truth about what mendloop saw, decided and did: an append-only, hash-chained log."""
