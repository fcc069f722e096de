# EKS: a private control plane, nodes that cannot be asked for credentials by pods, and identities by
# Pod Identity. GPU nodes are in gpu_nodes.tf.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  tags            = merge(var.tags, { Name = var.name })
  policies        = "arn:${data.aws_partition.current.partition}:iam::aws:policy"
  has_public_door = length(var.endpoint_public_cidrs) > 0
}

resource "aws_kms_key" "secrets" {
  #checkov:skip=CKV2_AWS_64: without a policy the key has the default one, which hands control to the account's IAM
  description             = "${var.name}: Secrets in etcd"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags
}

resource "aws_cloudwatch_log_group" "control_plane" {
  #checkov:skip=CKV_AWS_158: encrypted by CloudWatch's own key; a key of one's own is log_kms_key_arn
  #checkov:skip=CKV_AWS_338: a year is the default of log_retention_days; the small example keeps 30 days
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "cluster_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.cluster_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.policies}/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_39: the endpoint is public only where endpoint_public_cidrs names networks; the default names none
  #checkov:skip=CKV_AWS_38: and 0.0.0.0/0 is refused by the variable
  #checkov:skip=CKV_AWS_339: the version is a variable whose validation keeps up with what EKS supports
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.cluster.arn
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false
  deletion_protection           = var.deletion_protection
  tags                          = local.tags

  access_config {
    authentication_mode = "API"
    # Who made the cluster is no administrator for ever: administrators are named.
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  upgrade_policy {
    support_type = "STANDARD"
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = local.has_public_door
    public_access_cidrs     = local.has_public_door ? var.endpoint_public_cidrs : null
  }

  depends_on = [
    aws_cloudwatch_log_group.control_plane,
    aws_iam_role_policy_attachment.cluster,
  ]
}

resource "aws_eks_access_entry" "administrator" {
  for_each = var.administrator_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  tags          = local.tags
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each = var.administrator_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  policy_arn    = "arn:${data.aws_partition.current.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }

  depends_on = [aws_eks_access_entry.administrator]
}
