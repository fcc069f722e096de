variable "namespace" {
  description = "Namespace of Kubeflow Pipelines; its manifests name this one."
  type        = string
  default     = "kubeflow"

  validation {
    condition     = var.namespace == "kubeflow"
    error_message = "The manifests of Kubeflow Pipelines name the namespace kubeflow in many places."
  }
}

variable "pipelines_version" {
  description = "Release of Kubeflow Pipelines."
  type        = string
  default     = "2.16.1"

  validation {
    condition     = can(regex("^2\\.[0-9]+\\.[0-9]+$", var.pipelines_version))
    error_message = "pipelines_version must be a release of the second version: mendloop speaks the API v2beta1."
  }
}

variable "environment" {
  description = "Kustomization of the release to install, below manifests/kustomize."
  type        = string
  default     = "env/platform-agnostic"

  validation {
    condition     = startswith(var.environment, "env/")
    error_message = "environment must be a folder of manifests/kustomize/env, such as env/platform-agnostic."
  }
}
