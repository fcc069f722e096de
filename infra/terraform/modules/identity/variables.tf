variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the EKS cluster: roles can be assumed from no other."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:eks:", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an EKS cluster."
  }
}

variable "name_prefix" {
  description = "First part of every role's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name_prefix))
    error_message = "name_prefix must be 2 to 31 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "applications" {
  description = <<-EOT
    Applications by name: the namespace and service accounts that they run under, and what they may do.
    `read` and `write` name buckets, with a prefix that ends in "/" where a part is enough; `write`
    includes reading, and neither includes deleting. `key_arns` are the keys of what is read.
  EOT
  type = map(object({
    namespace        = string
    service_accounts = list(string)
    purpose          = string
    read             = optional(list(object({ bucket_arn = string, prefix = optional(string, "") })), [])
    write            = optional(list(object({ bucket_arn = string, prefix = optional(string, "") })), [])
    key_arns         = optional(list(string), [])
    secret_arns      = optional(list(string), [])
  }))

  validation {
    condition     = alltrue([for app in values(var.applications) : length(app.service_accounts) > 0])
    error_message = "Every application needs a service account at least."
  }

  validation {
    condition = alltrue(flatten([
      for app in values(var.applications) : [
        for grant in concat(app.read, app.write) : grant.prefix == "" || endswith(grant.prefix, "/")
      ]
    ]))
    error_message = "A prefix must end in /: logs would also be logs-of-others."
  }

  validation {
    condition = alltrue(flatten([
      for app in values(var.applications) : [
        for arn in concat([for grant in concat(app.read, app.write) : grant.bucket_arn], app.key_arns, app.secret_arns) :
        startswith(arn, "arn:") && !strcontains(arn, "*")
      ]
    ]))
    error_message = "Buckets, keys and secrets must be ARNs without wildcards."
  }
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds every role, where the organisation has one; null for none."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
