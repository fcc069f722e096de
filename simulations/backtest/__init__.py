"""Backtests: one's own history replayed through the loop, without a look into the future."""
