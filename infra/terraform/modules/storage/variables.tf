variable "name_prefix" {
  description = "First part of every bucket's name; account and key of `buckets` follow."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name_prefix))
    error_message = "name_prefix must be 2 to 21 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "buckets" {
  description = <<-EOT
    Buckets by their short name. `expire_days` deletes objects, `infrequent_after_days` moves them to a
    cheaper class, `noncurrent_days` keeps versions that were replaced, `lock_days` makes objects
    undeletable for so long (compliance mode: for the administrator too).
  EOT
  type = map(object({
    purpose               = string
    noncurrent_days       = optional(number, 90)
    infrequent_after_days = optional(number)
    expire_days           = optional(number)
    lock_days             = optional(number)
  }))
  default = {
    artifacts   = { purpose = "Models and MLflow artifacts", noncurrent_days = 180 }
    training    = { purpose = "Pinned training data", infrequent_after_days = 30 }
    pipelines   = { purpose = "Output folders of pipeline runs", expire_days = 180 }
    predictions = { purpose = "Archived prediction log", infrequent_after_days = 30, expire_days = 730 }
    journal     = { purpose = "Checkpoints and archives of the journal", lock_days = 400 }
  }

  validation {
    condition     = alltrue([for key, _ in var.buckets : can(regex("^[a-z][a-z0-9-]{1,20}$", key))])
    error_message = "Keys of buckets must be 2 to 21 lower-case letters, digits and dashes."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.noncurrent_days >= 1])
    error_message = "noncurrent_days must be 1 at least."
  }

  validation {
    # S3 refuses the class for younger objects.
    condition     = alltrue([for bucket in values(var.buckets) : coalesce(bucket.infrequent_after_days, 30) >= 30])
    error_message = "infrequent_after_days must be 30 at least."
  }

  validation {
    condition = alltrue([
      for bucket in values(var.buckets) :
      coalesce(bucket.expire_days, 36500) > coalesce(bucket.infrequent_after_days, 0)
      && coalesce(bucket.expire_days, 36500) >= coalesce(bucket.lock_days, 0)
    ])
    error_message = "expire_days must lie after infrequent_after_days, and not before lock_days."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects; null makes one of this module's own."
  type        = string
  default     = null
}

variable "access_log_bucket" {
  description = "Existing bucket that S3 writes access logs to; null for none."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete buckets that still hold objects. For trials only."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
