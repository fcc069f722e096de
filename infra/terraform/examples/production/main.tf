# Production: three zones, a standby of the database, a journal whose checkpoints nobody can delete,
# an API server that only the VPC reaches, GPU nodes of two sizes.

locals {
  cidr       = "10.60.0.0/16"
  controller = "mendloop"
  models     = "models"
  mlflow     = "mlflow"
  monitoring = "monitoring"
  secrets    = "external-secrets"
  database   = "postgresql://mendloop@${module.database.address}:${module.database.port}/mendloop?sslmode=require"
}

data "aws_secretsmanager_secret" "given" {
  for_each = toset([var.grafana_admin_secret, var.journal_key_secret, var.mlflow_admin_secret])

  name = each.key
}

module "network" {
  source = "../../modules/network"

  name               = var.name
  region             = var.region
  cidr               = local.cidr
  availability_zones = var.availability_zones
  log_kms_key_arn    = var.log_kms_key_arn
}

module "cluster" {
  source = "../../modules/cluster"

  name                    = var.name
  subnet_ids              = module.network.private_subnet_ids
  administrator_role_arns = var.administrator_role_arns
  log_kms_key_arn         = var.log_kms_key_arn

  cpu_node_groups = {
    system  = { instance_types = ["m7i.xlarge"], min_size = 3, max_size = 6, labels = { "mendloop.dev/pool" = "system" } }
    serving = { instance_types = ["c7i.2xlarge", "c6i.2xlarge"], min_size = 3, max_size = 30, labels = { "mendloop.dev/pool" = "serving" } }
    batch   = { instance_types = ["m7i.4xlarge", "m6i.4xlarge"], min_size = 1, max_size = 20, capacity_type = "SPOT", labels = { "mendloop.dev/pool" = "batch" } }
  }
  gpu_node_groups = {
    gpu-small = { instance_types = ["g5.xlarge", "g6.xlarge"], max_size = 4 }
    gpu-large = { instance_types = ["p4d.24xlarge"], max_size = 2, capacity_type = "ON_DEMAND", disk_gib = 500 }
  }
}

module "storage" {
  source = "../../modules/storage"

  name_prefix       = var.name
  access_log_bucket = var.access_log_bucket
}

module "database" {
  source = "../../modules/database"

  name                   = var.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  client_security_groups = { nodes = module.cluster.node_security_group_id }
  instance_class         = "db.m7g.xlarge"
  storage_gib            = 200
}

# Namespaces that Secrets are put into before their charts come.
resource "kubernetes_namespace_v1" "platform" {
  for_each = toset([local.mlflow, local.monitoring])

  metadata {
    name = each.key
  }

  depends_on = [module.cluster]
}

module "monitoring" {
  source = "../../modules/monitoring"

  namespace            = local.monitoring
  grafana_admin_secret = module.secrets.secret_names["grafana-admin"]
}

module "secrets" {
  source = "../../modules/external-secrets"

  namespace = local.secrets
  region    = var.region
  secrets = {
    mendloop-passwords = {
      namespace = module.controller_namespace.name
      keys = {
        postgres-password = { remote = module.database.login_secret_names["mendloop"], property = "password" }
        journal-key       = { remote = var.journal_key_secret, property = "key" }
        mlflow-password   = { remote = var.mlflow_admin_secret, property = "password" }
      }
    }
    mlflow-database = { namespace = kubernetes_namespace_v1.platform[local.mlflow].metadata[0].name, remote = module.database.login_secret_names["mlflow"] }
    mlflow-admin    = { namespace = kubernetes_namespace_v1.platform[local.mlflow].metadata[0].name, remote = var.mlflow_admin_secret }
    grafana-admin   = { namespace = kubernetes_namespace_v1.platform[local.monitoring].metadata[0].name, remote = var.grafana_admin_secret }
  }
}

module "identity" {
  source = "../../modules/identity"

  cluster_name = module.cluster.name
  cluster_arn  = module.cluster.arn
  name_prefix  = var.name

  permissions_boundary_arn = var.permissions_boundary_arn

  applications = {
    # Reads models and training data, hands inputs to pipeline runs, archives its journal.
    mendloop = {
      namespace        = local.controller
      service_accounts = ["mendloop"]
      purpose          = "mendloop's controller"
      read             = [{ bucket_arn = module.storage.bucket_arns["artifacts"] }, { bucket_arn = module.storage.bucket_arns["training"] }]
      write            = [{ bucket_arn = module.storage.bucket_arns["pipelines"] }, { bucket_arn = module.storage.bucket_arns["journal"] }]
      key_arns         = [module.storage.kms_key_arn]
    }
    # Model servers fetch their artifact and nothing else.
    serving = {
      namespace        = local.models
      service_accounts = ["mendloop-serving"]
      purpose          = "Model servers"
      read             = [{ bucket_arn = module.storage.bucket_arns["artifacts"] }]
      key_arns         = [module.storage.kms_key_arn]
    }
    # Steps of a retraining pipeline.
    pipelines = {
      namespace        = module.kubeflow.namespace
      service_accounts = ["pipeline-runner"]
      purpose          = "Steps of Kubeflow pipelines"
      read             = [{ bucket_arn = module.storage.bucket_arns["training"] }, { bucket_arn = module.storage.bucket_arns["artifacts"] }]
      write            = [{ bucket_arn = module.storage.bucket_arns["pipelines"] }]
      key_arns         = [module.storage.kms_key_arn]
    }
    mlflow = {
      namespace        = local.mlflow
      service_accounts = ["mlflow"]
      purpose          = "MLflow's artifacts"
      write            = [{ bucket_arn = module.storage.bucket_arns["artifacts"], prefix = "mlflow/" }]
      key_arns         = [module.storage.kms_key_arn]
    }
    external-secrets = {
      namespace        = local.secrets
      service_accounts = ["external-secrets"]
      purpose          = "Copies logins from Secrets Manager into the cluster"
      secret_arns = concat(
        values(module.database.login_secret_arns),
        [for secret in data.aws_secretsmanager_secret.given : secret.arn],
      )
      key_arns = [module.database.kms_key_arn]
    }
  }
}

module "autoscaler" {
  source = "../../modules/autoscaler"

  cluster_name = module.cluster.name
  cluster_arn  = module.cluster.arn
  region       = var.region
  gpus         = length(module.cluster.gpu_node_groups) > 0
}

module "mesh" {
  source = "../../modules/mesh"

  gateway_replicas = 3

  depends_on = [module.cluster]
}

module "controller_namespace" {
  source = "../../modules/namespace"

  name            = local.controller
  istio_injection = false
  quota           = { cpu = "8", memory = "16Gi", memory_limit = "32Gi", pods = 20 }
  ingress_from    = { (local.monitoring) = [8080] }
  egress_to = {
    (local.monitoring) = [9090, 9093]
    (local.mlflow)     = [5000]
    (local.models)     = [8080]
    kubeflow           = [8888]
  }
  # The API server, S3 and PostgreSQL lie in the VPC or behind it.
  egress_networks = {
    https      = { cidr = "0.0.0.0/0", ports = [443] }
    postgresql = { cidr = local.cidr, ports = [5432] }
  }
}

module "models_namespace" {
  source = "../../modules/namespace"

  name         = local.models
  quota        = { cpu = "400", memory = "800Gi", memory_limit = "1600Gi", pods = 2000 }
  ingress_from = { (module.mesh.gateway_namespace) = [8080], (local.monitoring) = [15020, 8080], (local.controller) = [8080] }
  egress_to    = { istio-system = [15012] }
  egress_networks = {
    https      = { cidr = "0.0.0.0/0", ports = [443] }
    postgresql = { cidr = local.cidr, ports = [5432] }
  }
}

module "kubeflow" {
  source = "../../modules/kubeflow"

  depends_on = [module.cluster]
}

module "mlflow" {
  source = "../../modules/mlflow"

  namespace = local.mlflow
  region    = var.region
  replicas  = 2
  artifacts = { bucket = module.storage.bucket_names["artifacts"] }
  database = {
    host        = module.database.address
    port        = module.database.port
    name        = "mlflow"
    secret_name = module.secrets.secret_names["mlflow-database"]
  }
  admin_secret_name = module.secrets.secret_names["mlflow-admin"]
}

module "mendloop" {
  source = "../../modules/mendloop"

  chart     = "${path.module}/../../../helm/mendloop"
  namespace = module.controller_namespace.name
  image     = var.mendloop_image
  replicas  = 2

  # Where everything is; what the caller says comes after it and wins.
  values = concat([yamlencode({
    access         = { namespaces = [module.models_namespace.name] }
    serviceMonitor = { enabled = true }
    prometheusRule = { enabled = true }
    dashboards     = { enabled = true }
    secrets        = { files = module.secrets.secret_names["mendloop-passwords"] }
    networkPolicy  = { ingressNamespaces = [{ "kubernetes.io/metadata.name" = local.monitoring }] }
    platform = {
      pipelines = { kubeflow = {
        url     = module.kubeflow.api_url
        outputs = "s3://${module.storage.bucket_names["pipelines"]}/runs"
      } }
      registry = { mlflow = {
        trackingUri  = module.mlflow.tracking_uri
        username     = var.mlflow_username
        passwordFrom = { file = "/etc/mendloop/secrets/mlflow-password" }
      } }
      metrics       = { prometheus = { url = module.monitoring.prometheus_url } }
      predictionLog = { database = { url = local.database, passwordFrom = { file = "/etc/mendloop/secrets/postgres-password" } } }
      journal       = { url = local.database, passwordFrom = { file = "/etc/mendloop/secrets/postgres-password" } }
    }
  })], var.mendloop_values)

  # It would only report what is not there yet.
  depends_on = [module.identity, module.mesh, module.secrets]
}
