# MLflow's tracking server and registry, on PostgreSQL and S3. It hands artifacts through: clients need
# no rights on the bucket.

resource "helm_release" "this" {
  name             = "mlflow"
  repository       = "https://community-charts.github.io/helm-charts"
  chart            = "mlflow"
  version          = var.chart_version
  namespace        = var.namespace
  create_namespace = true
  atomic           = true
  timeout          = 900

  values = [yamlencode({
    replicaCount   = var.replicas
    serviceAccount = { create = true, name = var.service_account }
    telemetry      = { enabled = false }
    backendStore = {
      databaseMigration = true
      postgres = {
        enabled  = true
        host     = var.database.host
        port     = var.database.port
        database = var.database.name
        driver   = "psycopg2"
      }
      existingDatabaseSecret = {
        name        = var.database.secret_name
        usernameKey = "username"
        passwordKey = "password"
      }
    }
    artifactRoot = {
      proxiedArtifactStorage = true
      s3 = {
        enabled = true
        bucket  = var.artifacts.bucket
        path    = trimsuffix(var.artifacts.prefix, "/")
      }
    }
    auth = {
      enabled = var.admin_secret_name != null
      # Whoever has a login may read; writing is granted by name.
      defaultPermission   = "READ"
      existingAdminSecret = { name = coalesce(var.admin_secret_name, "none") }
    }
    extraEnvVars = { AWS_DEFAULT_REGION = var.region }
    podSecurityContext = {
      fsGroup             = 1001
      fsGroupChangePolicy = "OnRootMismatch"
      runAsNonRoot        = true
      seccompProfile      = { type = "RuntimeDefault" }
    }
    resources = {
      requests = { cpu = "500m", memory = "1Gi" }
      limits   = { memory = "3Gi" }
    }
  })]
}
