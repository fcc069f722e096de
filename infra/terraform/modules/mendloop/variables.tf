variable "chart" {
  description = "mendloop's chart: a folder (infra/helm/mendloop of this repository) or an OCI reference."
  type        = string
}

variable "chart_version" {
  description = "Version of the chart; null for a folder."
  type        = string
  default     = null

  validation {
    condition     = var.chart_version != null || !startswith(var.chart, "oci://")
    error_message = "A chart from a registry needs chart_version: an upgrade is a decision."
  }
}

variable "namespace" {
  description = "Namespace of the controller; it exists already."
  type        = string
}

variable "service_account" {
  description = "Service account of the controller; the identity module gives it what it may do in AWS."
  type        = string
  default     = "mendloop"
}

variable "image" {
  description = "Image of the controller, by digest: what was tried is what runs."
  type = object({
    repository = string
    digest     = string
  })

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image.digest))
    error_message = "image.digest must be sha256: and 64 hexadecimal digits."
  }
}

variable "replicas" {
  description = "Number of controllers. Every target has one owner at a time; two replicas take over from each other."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 1
    error_message = "replicas must be 1 at least."
  }
}

variable "values" {
  description = "More values of the chart as YAML documents, the last one wins."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for document in var.values : can(yamldecode(document))])
    error_message = "values must be YAML documents."
  }
}
