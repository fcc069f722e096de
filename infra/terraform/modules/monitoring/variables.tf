variable "namespace" {
  description = "Namespace of Prometheus, Alertmanager and Grafana."
  type        = string
  default     = "monitoring"
}

variable "chart_version" {
  description = "Version of the kube-prometheus-stack chart."
  type        = string
  default     = "91.9.0"
}

variable "replicas" {
  description = "Number of Prometheus pods; each scrapes everything."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 1
    error_message = "replicas must be 1 at least."
  }
}

variable "retention_days" {
  description = "How long samples are kept, in days. mendloop itself needs hours; people want weeks."
  type        = number
  default     = 30

  validation {
    condition     = var.retention_days >= 1
    error_message = "retention_days must be 1 at least."
  }
}

variable "storage_gib" {
  description = "Volume of each Prometheus pod, in GiB; 85 % of it are used."
  type        = number
  default     = 100

  validation {
    condition     = var.storage_gib >= 10
    error_message = "storage_gib must be 10 at least."
  }
}

variable "storage_class" {
  description = "Storage class of the volumes; null for the cluster's default."
  type        = string
  default     = null
}

variable "scrape_interval_s" {
  description = "Time between two scrapes, in seconds; a canary is judged by nothing fresher."
  type        = number
  default     = 15

  validation {
    condition     = var.scrape_interval_s >= 5 && var.scrape_interval_s <= 60
    error_message = "scrape_interval_s must lie between 5 and 60: older samples would count as an outage."
  }
}

variable "grafana_admin_secret" {
  description = "Secret in the namespace with `username` and `password` of Grafana's administrator."
  type        = string
}
