variable "name" {
  description = "Name of the namespace."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.name))
    error_message = "name must be a DNS label: lower-case letters, digits and dashes."
  }
}

variable "istio_injection" {
  description = "Give pods Istio's sidecar; needs Istio's CNI plugin (module mesh)."
  type        = bool
  default     = true
}

variable "quota" {
  description = "What all pods together may ask for."
  type = object({
    cpu          = string
    memory       = string
    memory_limit = string
    storage      = optional(string, "200Gi")
    pods         = optional(number, 200)
    gpus         = optional(number, 0)
  })

  validation {
    condition     = var.quota.pods >= 1 && var.quota.gpus >= 0
    error_message = "pods must be 1 at least and gpus no less than 0."
  }
}

variable "container_defaults" {
  description = "Requests and limit of a container that names none."
  type = object({
    cpu          = optional(string, "100m")
    memory       = optional(string, "256Mi")
    memory_limit = optional(string, "1Gi")
  })
  default = {}
}

variable "ingress_from" {
  description = "Namespaces that may call pods here, each with the ports."
  type        = map(list(number))
  default     = {}

  validation {
    condition     = alltrue([for ports in values(var.ingress_from) : length(ports) > 0])
    error_message = "A namespace without ports would be let in on all of them: name the ports."
  }
}

variable "egress_to" {
  description = "Namespaces that pods here may call, each with the ports."
  type        = map(list(number))
  default     = {}

  validation {
    condition     = alltrue([for ports in values(var.egress_to) : length(ports) > 0])
    error_message = "A namespace without ports would be open on all of them: name the ports."
  }
}

variable "egress_networks" {
  description = "Networks outside the cluster that pods here may call, by a name that says what is there."
  type        = map(object({ cidr = string, ports = list(number) }))
  default     = {}

  validation {
    condition     = alltrue([for network in values(var.egress_networks) : can(cidrhost(network.cidr, 0)) && length(network.ports) > 0])
    error_message = "egress_networks must be networks, with ports."
  }
}

variable "labels" {
  description = "More labels of the namespace; those of pod security and Istio cannot be changed by them."
  type        = map(string)
  default     = {}
}

variable "annotations" {
  description = "Annotations of the namespace."
  type        = map(string)
  default     = {}
}
