variable "namespace" {
  description = "Namespace of MLflow."
  type        = string
  default     = "mlflow"
}

variable "service_account" {
  description = "Service account of MLflow; the identity module gives it the artifacts' bucket."
  type        = string
  default     = "mlflow"
}

variable "chart_version" {
  description = "Version of the mlflow chart of community-charts."
  type        = string
  default     = "1.12.0"
}

variable "region" {
  description = "AWS region of the artifacts' bucket."
  type        = string
}

variable "replicas" {
  description = "Number of MLflow pods."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 1
    error_message = "replicas must be 1 at least."
  }
}

variable "database" {
  description = "PostgreSQL database, and the Secret in the namespace that holds `username` and `password`."
  type = object({
    host        = string
    port        = number
    name        = string
    secret_name = string
  })
}

variable "artifacts" {
  description = "Bucket of the artifacts, and the prefix inside it."
  type = object({
    bucket = string
    prefix = optional(string, "mlflow/")
  })

  validation {
    condition     = endswith(var.artifacts.prefix, "/")
    error_message = "artifacts.prefix must end in /."
  }
}

variable "admin_secret_name" {
  description = "Secret in the namespace with `username` and `password` of MLflow's administrator; null leaves MLflow open to the cluster."
  type        = string
  default     = null
}
