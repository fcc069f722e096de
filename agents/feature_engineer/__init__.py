"""The feature engineer: the same features in serving as in training."""
