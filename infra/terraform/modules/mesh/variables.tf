variable "istio_version" {
  description = "Version of Istio, of all its charts."
  type        = string
  default     = "1.30.1"

  validation {
    condition     = can(regex("^1\\.[0-9]+\\.[0-9]+$", var.istio_version))
    error_message = "istio_version must be a full version, such as 1.30.1."
  }
}

variable "control_plane_replicas" {
  description = "Least number of istiod pods."
  type        = number
  default     = 2

  validation {
    condition     = var.control_plane_replicas >= 1
    error_message = "control_plane_replicas must be 1 at least."
  }
}

variable "gateway_namespace" {
  description = "Namespace of the ingress gateway."
  type        = string
  default     = "istio-ingress"
}

variable "gateway_replicas" {
  description = "Least number of gateway pods."
  type        = number
  default     = 2

  validation {
    condition     = var.gateway_replicas >= 1
    error_message = "gateway_replicas must be 1 at least."
  }
}

variable "gateway_is_public" {
  description = "Give the gateway's load balancer a public address."
  type        = bool
  default     = false
}

variable "outbound_traffic" {
  description = "What sidecars do with calls to hosts that the mesh does not know."
  type        = string
  default     = "ALLOW_ANY"

  validation {
    condition     = contains(["ALLOW_ANY", "REGISTRY_ONLY"], var.outbound_traffic)
    error_message = "outbound_traffic must be ALLOW_ANY or REGISTRY_ONLY."
  }
}
