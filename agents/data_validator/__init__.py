"""The data validator: whether what arrives is what it claims to be, and what to do if not."""
