"""The trainer: makes challengers through the Kubeflow pipeline, never without a gate."""
