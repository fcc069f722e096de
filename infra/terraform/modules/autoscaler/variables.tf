variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the EKS cluster: the role can be assumed from no other."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:eks:", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an EKS cluster."
  }
}

variable "region" {
  description = "AWS region of the cluster."
  type        = string
}

variable "namespace" {
  description = "Namespace of the autoscaler."
  type        = string
  default     = "kube-system"
}

variable "idle_minutes" {
  description = "How long a node must be idle before it is taken away, in minutes."
  type        = number
  default     = 10

  validation {
    condition     = var.idle_minutes >= 1
    error_message = "idle_minutes must be 1 at least."
  }
}

variable "gpus" {
  description = "Also install NVIDIA's device plugin; true where the cluster has GPU node groups."
  type        = bool
  default     = false
}

variable "chart_version" {
  description = "Version of the cluster-autoscaler chart."
  type        = string
  default     = "9.46.6"
}

variable "nvidia_device_plugin_version" {
  description = "Version of the nvidia-device-plugin chart."
  type        = string
  default     = "0.17.1"
}

variable "tags" {
  description = "Tags on everything that can bear them."
  type        = map(string)
  default     = {}
}
