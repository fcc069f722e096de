variable "name" {
  description = "Name of the cluster, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name))
    error_message = "name must be 2 to 41 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes; control plane and nodes move together."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[2-9]|4[0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be a minor version from 1.32 on, such as 1.33."
  }
}

variable "subnet_ids" {
  description = "Private subnets in two zones at least, for control plane and nodes."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name subnets in two zones at least."
  }
}

variable "endpoint_public_cidrs" {
  description = "Networks from which the API server can be reached over the internet; none by default."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.endpoint_public_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "endpoint_public_cidrs must be networks, and not the whole internet."
  }
}

variable "administrator_role_arns" {
  description = "IAM roles that administer the cluster, each under a name that says who that is."
  type        = map(string)

  validation {
    condition     = length(var.administrator_role_arns) > 0
    error_message = "administrator_role_arns is empty: nobody could enter the cluster."
  }

  validation {
    condition     = alltrue([for arn in values(var.administrator_role_arns) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", arn))])
    error_message = "administrator_role_arns must be ARNs of IAM roles."
  }
}

variable "cpu_node_groups" {
  description = "Node groups without accelerators, by name."
  type = map(object({
    instance_types = list(string)
    min_size       = number
    max_size       = number
    capacity_type  = optional(string, "ON_DEMAND")
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    disk_gib       = optional(number, 80)
    labels         = optional(map(string), {})
  }))

  validation {
    condition     = length(var.cpu_node_groups) > 0
    error_message = "cpu_node_groups is empty: the platform needs somewhere to run."
  }

  validation {
    condition     = alltrue([for group in values(var.cpu_node_groups) : group.min_size >= 1 && group.max_size >= group.min_size])
    error_message = "min_size must be 1 at least and max_size no smaller: serving does not scale to zero."
  }

  validation {
    condition     = alltrue([for group in values(var.cpu_node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "capacity_type must be ON_DEMAND or SPOT."
  }
}

variable "gpu_node_groups" {
  description = "Node groups with NVIDIA GPUs, by name; they scale to zero and are tainted."
  type = map(object({
    instance_types = list(string)
    max_size       = number
    capacity_type  = optional(string, "SPOT")
    disk_gib       = optional(number, 150)
    labels         = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = alltrue([for group in values(var.gpu_node_groups) : group.max_size >= 1])
    error_message = "max_size must be 1 at least."
  }

  validation {
    condition     = alltrue([for group in values(var.gpu_node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "capacity_type must be ON_DEMAND or SPOT."
  }

  validation {
    condition     = length(setintersection(keys(var.gpu_node_groups), keys(var.cpu_node_groups))) == 0
    error_message = "A name stands in both gpu_node_groups and cpu_node_groups."
  }
}

variable "addon_versions" {
  description = "Versions of EKS add-ons by name; those not named take EKS's default for the cluster's version."
  type        = map(string)
  default     = {}
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the control plane's logs (the API's audit log among them), in days."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch knows, 30 to 731."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key for the control plane's logs; null for CloudWatch's own encryption."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to delete the cluster. False for trials only."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
