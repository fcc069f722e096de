"""Evidence with stated error rates. Pure: no clock, network, file or randomness of its own."""
