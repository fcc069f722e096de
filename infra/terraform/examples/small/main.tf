# The smallest installation that is still safe: one NAT gateway, one database without standby, small
# nodes, GPU nodes only while a pipeline asks for one. For trials and small teams.

# Secrets that people made before; Terraform reads their names and not what is in them.
data "aws_secretsmanager_secret" "given" {
  for_each = toset([var.grafana_admin_secret, var.journal_key_secret])

  name = each.key
}

locals {
  cidr       = "10.60.0.0/16"
  controller = "mendloop"
  models     = "models"
  mlflow     = "mlflow"
  monitoring = "monitoring"
  secrets    = "external-secrets"
  database   = "postgresql://mendloop@${module.database.address}:${module.database.port}/mendloop?sslmode=require"
}

module "network" {
  source = "../../modules/network"

  name                    = var.name
  region                  = var.region
  cidr                    = local.cidr
  availability_zones      = var.availability_zones
  single_nat_gateway      = true
  flow_log_retention_days = 30
}

module "cluster" {
  source = "../../modules/cluster"

  name                    = var.name
  subnet_ids              = module.network.private_subnet_ids
  endpoint_public_cidrs   = var.endpoint_public_cidrs
  administrator_role_arns = var.administrator_role_arns
  log_retention_days      = 30
  deletion_protection     = false

  cpu_node_groups = {
    general = { instance_types = ["m7i.xlarge"], min_size = 2, max_size = 5 }
  }
  gpu_node_groups = {
    gpu = { instance_types = ["g5.xlarge", "g6.xlarge"], max_size = 1 }
  }
}

module "storage" {
  source = "../../modules/storage"

  name_prefix   = var.name
  force_destroy = true
  buckets = {
    artifacts = { purpose = "Models and MLflow artifacts" }
    training  = { purpose = "Pinned training data", expire_days = 180 }
    pipelines = { purpose = "Output folders of pipeline runs", expire_days = 30 }
    # Without a lock, unlike production: a trial has to be removable.
    journal = { purpose = "Checkpoints and archives of the journal" }
  }
}

module "database" {
  source = "../../modules/database"

  name                   = var.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  client_security_groups = { nodes = module.cluster.node_security_group_id }
  instance_class         = "db.t4g.medium"
  storage_gib            = 20
  max_storage_gib        = 100
  multi_az               = false
  backup_retention_days  = 7
  deletion_protection    = false
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
  replicas             = 1
  retention_days       = 7
  storage_gib          = 20
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
      }
    }
    grafana-admin   = { namespace = kubernetes_namespace_v1.platform[local.monitoring].metadata[0].name, remote = var.grafana_admin_secret }
    mlflow-database = { namespace = kubernetes_namespace_v1.platform[local.mlflow].metadata[0].name, remote = module.database.login_secret_names["mlflow"] }
  }
}

module "identity" {
  source = "../../modules/identity"

  cluster_name = module.cluster.name
  cluster_arn  = module.cluster.arn
  name_prefix  = var.name

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

  control_plane_replicas = 1
  gateway_replicas       = 1

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
  quota        = { cpu = "8", memory = "16Gi", memory_limit = "32Gi", pods = 50, gpus = 1 }
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
  replicas  = 1
  artifacts = { bucket = module.storage.bucket_names["artifacts"] }
  database = {
    host        = module.database.address
    port        = module.database.port
    name        = "mlflow"
    secret_name = module.secrets.secret_names["mlflow-database"]
  }
}

module "mendloop" {
  source = "../../modules/mendloop"

  chart     = "${path.module}/../../../helm/mendloop"
  namespace = module.controller_namespace.name
  image     = var.mendloop_image
  replicas  = 1

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
      registry      = { mlflow = { trackingUri = module.mlflow.tracking_uri } }
      metrics       = { prometheus = { url = module.monitoring.prometheus_url } }
      predictionLog = { database = { url = local.database, passwordFrom = { file = "/etc/mendloop/secrets/postgres-password" } } }
      journal       = { url = local.database, passwordFrom = { file = "/etc/mendloop/secrets/postgres-password" } }
    }
  })], var.mendloop_values)

  # It would only report what is not there yet.
  depends_on = [module.identity, module.mesh, module.secrets]
}
