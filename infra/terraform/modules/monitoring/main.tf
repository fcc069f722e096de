# Prometheus, Alertmanager and Grafana, following Istio's proxies: from their counters mendloop reads
# whether requests fail and whether traffic really moved.

resource "helm_release" "this" {
  name             = "monitoring"
  repository       = "https://prometheus-community.github.io/helm-charts"
  chart            = "kube-prometheus-stack"
  version          = var.chart_version
  namespace        = var.namespace
  create_namespace = true
  atomic           = true
  timeout          = 900

  values = [yamlencode({
    prometheus = {
      prometheusSpec = {
        replicas       = var.replicas
        retention      = "${var.retention_days}d"
        retentionSize  = "${floor(var.storage_gib * 0.85)}GiB"
        scrapeInterval = "${var.scrape_interval_s}s"
        # Monitors and rules of every namespace count, not only those of this chart.
        serviceMonitorSelectorNilUsesHelmValues = false
        podMonitorSelectorNilUsesHelmValues     = false
        ruleSelectorNilUsesHelmValues           = false
        storageSpec = {
          volumeClaimTemplate = {
            spec = {
              storageClassName = var.storage_class
              accessModes      = ["ReadWriteOnce"]
              resources        = { requests = { storage = "${var.storage_gib}Gi" } }
            }
          }
        }
      }
      additionalPodMonitors = [{
        name              = "istio-proxies"
        namespaceSelector = { any = true }
        selector          = { matchExpressions = [{ key = "istio-prometheus-ignore", operator = "DoesNotExist" }] }
        podMetricsEndpoints = [{
          path     = "/stats/prometheus"
          interval = "${var.scrape_interval_s}s"
          relabelings = [
            { action = "keep", sourceLabels = ["__meta_kubernetes_pod_container_name"], regex = "istio-proxy" },
            { action = "keep", sourceLabels = ["__meta_kubernetes_pod_annotationpresent_prometheus_io_scrape"], regex = "true" },
            {
              action       = "replace"
              sourceLabels = ["__meta_kubernetes_pod_ip"]
              regex        = "(.+)"
              targetLabel  = "__address__"
              replacement  = "$1:15020"
            },
            { action = "replace", sourceLabels = ["__meta_kubernetes_namespace"], targetLabel = "namespace" },
            { action = "replace", sourceLabels = ["__meta_kubernetes_pod_name"], targetLabel = "pod" },
          ]
        }]
      }]
    }
    grafana = {
      # The chart's own default password is known to everybody.
      admin = {
        existingSecret = var.grafana_admin_secret
        userKey        = "username"
        passwordKey    = "password"
      }
      sidecar = {
        # mendloop's dashboards are ConfigMaps with this label.
        dashboards = { enabled = true, label = "grafana_dashboard", searchNamespace = "ALL" }
      }
    }
  })]
}
