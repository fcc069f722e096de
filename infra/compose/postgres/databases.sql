-- mendloop's own database is made by the image; MLflow's stands beside it.
CREATE DATABASE mlflow;
