variable "region" {
  description = "AWS region of the secrets."
  type        = string
}

variable "namespace" {
  description = "Namespace of the operator."
  type        = string
  default     = "external-secrets"
}

variable "service_account" {
  description = "Service account of the operator; the identity module gives it the right to read these secrets."
  type        = string
  default     = "external-secrets"
}

variable "chart_version" {
  description = "Version of the external-secrets chart."
  type        = string
  default     = "0.20.4"
}

variable "store_name" {
  description = "Name of the ClusterSecretStore."
  type        = string
  default     = "aws-secrets-manager"
}

variable "refresh_interval" {
  description = "How often the operator looks for new values."
  type        = string
  default     = "15m"

  validation {
    condition     = can(regex("^[0-9]+[smh]$", var.refresh_interval))
    error_message = "refresh_interval must be a duration such as 15m."
  }
}

variable "secrets" {
  description = <<-EOT
    Secrets to keep in the cluster, by name: their namespace, and either `remote`, whose properties are
    all taken under their own names, or `keys`: each key of the Secret with the `remote` and the
    `property` that it is taken from. (`remote` is a name in Secrets Manager.)
  EOT
  type = map(object({
    namespace = string
    remote    = optional(string)
    keys      = optional(map(object({ remote = string, property = string })), {})
  }))

  validation {
    condition     = alltrue([for secret in values(var.secrets) : (secret.remote != null) != (length(secret.keys) > 0)])
    error_message = "Each secret needs either remote or keys."
  }
}
