"""The steps of the pipelines as plain functions of files and JSON, one module per step."""
