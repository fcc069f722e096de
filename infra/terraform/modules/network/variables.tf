variable "name" {
  description = "Name of the VPC, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "region" {
  description = "AWS region, for the name of the S3 endpoint."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a name such as eu-central-1."
  }
}

variable "cidr" {
  description = "Address range of the VPC; a /16, because subnets are cut out of it by number."
  type        = string
  default     = "10.60.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr must be an IPv4 range that ends in /16, such as 10.60.0.0/16."
  }
}

variable "availability_zones" {
  description = "Zones to spread over, in order; EKS and RDS need two at least."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6
    error_message = "availability_zones must name two to six zones."
  }

  validation {
    condition     = length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones names a zone twice."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones: cheaper, and the zone's outage is everybody's."
  type        = bool
  default     = false
}

variable "flow_log_retention_days" {
  description = "How long CloudWatch keeps the VPC's flow logs, in days."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_retention_days)
    error_message = "flow_log_retention_days must be a number that CloudWatch knows, 30 to 731."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key for the flow logs; null for CloudWatch's own encryption."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
