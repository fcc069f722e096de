variable "name" {
  description = "Name of the installation: cluster, VPC, database and buckets begin with it."
  type        = string
  default     = "mendloop-small"
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "availability_zones" {
  description = "Zones of the region to spread over, by name: a zone that AWS adds moves nothing."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b"]
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

variable "endpoint_public_cidrs" {
  description = "Networks from which the API server can be reached, such as the office's."
  type        = list(string)
}

variable "grafana_admin_secret" {
  description = "Existing secret in Secrets Manager with `username` and `password` for Grafana."
  type        = string
}

variable "journal_key_secret" {
  description = "Existing secret in Secrets Manager whose `key` signs the journal (`mendloop audit make-key`)."
  type        = string
}
