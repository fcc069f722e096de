"""What runs in Kubeflow: components and pipelines."""
