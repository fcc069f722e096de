variable "name" {
  description = "Name of the installation: cluster, VPC, database and buckets begin with it."
  type        = string
  default     = "mendloop"
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "availability_zones" {
  description = "Zones of the region to spread over, by name: a zone that AWS adds moves nothing."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

variable "administrator_role_arns" {
  description = "IAM roles that administer the cluster, by who that is; whoever runs Terraform must be among them."
  type        = map(string)
}

variable "mendloop_image" {
  description = "Image of mendloop, by digest."
  type        = object({ repository = string, digest = string })
}

variable "mendloop_values" {
  description = "Values of mendloop's chart as YAML documents: settings, models, rules."
  type        = list(string)
  default     = []
}

variable "access_log_bucket" {
  description = "Existing bucket of the organisation for S3 access logs."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "Policy of the organisation that bounds every role; null for none."
  type        = string
  default     = null
}

variable "log_kms_key_arn" {
  description = "KMS key of the organisation for logs in CloudWatch."
  type        = string
}

variable "grafana_admin_secret" {
  description = "Existing secret in Secrets Manager with `username` and `password` for Grafana."
  type        = string
}

variable "mlflow_admin_secret" {
  description = "Existing secret in Secrets Manager with `username` and `password` for MLflow."
  type        = string
}

variable "mlflow_username" {
  description = "The `username` of that secret: mendloop's settings name it, its password stays in the secret."
  type        = string
  default     = "admin"
}

variable "journal_key_secret" {
  description = "Existing secret in Secrets Manager whose `key` signs the journal (`mendloop audit make-key`)."
  type        = string
}
