variable "name" {
  description = "Identifier of the instance, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name)) && !endswith(var.name, "-") && !strcontains(var.name, "--")
    error_message = "name must be 2 to 41 lower-case letters, digits and single dashes, and begin with a letter."
  }
}

variable "vpc_id" {
  description = "VPC that the instance's security group belongs to."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in two zones at least."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name subnets in two zones at least."
  }
}

variable "client_security_groups" {
  description = "Security groups that may connect, each under a name that says who that is."
  type        = map(string)

  validation {
    condition     = length(var.client_security_groups) > 0
    error_message = "client_security_groups is empty: nobody could connect."
  }
}

variable "engine_version" {
  description = "Major version of PostgreSQL; the project's own suites run against 15."
  type        = string
  default     = "15"

  validation {
    condition     = contains(["15", "16", "17"], var.engine_version)
    error_message = "engine_version must be 15, 16 or 17."
  }
}

variable "instance_class" {
  description = "Size of the instance."
  type        = string
  default     = "db.m7g.large"

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class must be a class of RDS, such as db.m7g.large."
  }
}

variable "storage_gib" {
  description = "Storage to begin with, in GiB."
  type        = number
  default     = 100

  validation {
    condition     = var.storage_gib >= 20
    error_message = "storage_gib must be 20 at least: gp3 has no smaller volume."
  }
}

variable "max_storage_gib" {
  description = "How far storage may grow by itself, in GiB. A full disk stops every change that mendloop would make."
  type        = number
  default     = 1000

  validation {
    condition     = var.max_storage_gib > var.storage_gib
    error_message = "max_storage_gib must exceed storage_gib."
  }
}

variable "multi_az" {
  description = "Keep a standby in a second zone."
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "How far back the database can be restored to any second, in days."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must lie between 1 and 35: the journal is not to be without a backup."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the instance, and keep a last snapshot. False for trials only."
  type        = bool
  default     = true
}

variable "logins" {
  description = <<-EOT
    Logins by name, each with a database of its own and a secret NAME/LOGIN in Secrets Manager. Raise
    `password_version` to have a new password made.
  EOT
  type = map(object({
    database         = string
    purpose          = string
    password_version = optional(number, 1)
  }))
  default = {
    mendloop = { database = "mendloop", purpose = "Journal, checkpoints, outbox and prediction log" }
    mlflow   = { database = "mlflow", purpose = "MLflow's tracking and registry" }
  }

  validation {
    condition = alltrue([
      for login, its in var.logins :
      can(regex("^[a-z][a-z0-9_]{0,40}$", login)) && can(regex("^[a-z][a-z0-9_]{0,40}$", its.database))
    ])
    error_message = "Logins and databases must be lower-case letters, digits and underscores."
  }

  validation {
    condition     = !contains(keys(var.logins), "postgres")
    error_message = "postgres is the instance's administrator, whose password RDS keeps."
  }
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
