# Cluster Autoscaler: brings GPU nodes when a pod asks for them and takes them away again. It reads the
# labels and taints of an empty node group from EKS itself (DescribeNodegroup), so that it can start from zero.

data "aws_caller_identity" "current" {}

locals {
  account = "cluster-autoscaler"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [var.cluster_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = [var.namespace]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "scale" {
  #checkov:skip=CKV_AWS_356: these actions only read, and AWS lets none of them be bound to a resource
  statement {
    sid = "See"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities",
      "autoscaling:DescribeTags",
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "SeeNodeGroups"
    actions   = ["eks:DescribeNodegroup"]
    resources = ["${replace(var.cluster_arn, ":cluster/", ":nodegroup/")}/*"]
  }

  # EKS puts this tag on the groups of its cluster: others are out of reach.
  statement {
    sid       = "ScaleThisCluster"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["arn:aws:autoscaling:${var.region}:${data.aws_caller_identity.current.account_id}:autoScalingGroup:*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.cluster_name}"
      values   = ["owned"]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.cluster_name}-cluster-autoscaler"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "this" {
  name   = "scale"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.scale.json
}

resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = local.account
  role_arn        = aws_iam_role.this.arn
  tags            = var.tags
}

resource "helm_release" "this" {
  name       = "cluster-autoscaler"
  repository = "https://kubernetes.github.io/autoscaler"
  chart      = "cluster-autoscaler"
  version    = var.chart_version
  namespace  = var.namespace
  atomic     = true

  values = [yamlencode({
    awsRegion     = var.region
    autoDiscovery = { clusterName = var.cluster_name }
    rbac          = { serviceAccount = { name = local.account } }
    extraArgs = {
      expander                      = "least-waste"
      scale-down-unneeded-time      = "${var.idle_minutes}m"
      balance-similar-node-groups   = true
      skip-nodes-with-local-storage = false
    }
    resources = {
      requests = { cpu = "100m", memory = "300Mi" }
      limits   = { memory = "600Mi" }
    }
  })]

  depends_on = [aws_eks_pod_identity_association.this]
}

# Makes the nodes' GPUs known to Kubernetes; runs on GPU nodes only.
resource "helm_release" "nvidia_device_plugin" {
  count = var.gpus ? 1 : 0

  name             = "nvidia-device-plugin"
  repository       = "https://nvidia.github.io/k8s-device-plugin"
  chart            = "nvidia-device-plugin"
  version          = var.nvidia_device_plugin_version
  namespace        = "nvidia-device-plugin"
  create_namespace = true
  atomic           = true

  values = [yamlencode({
    # In place of the chart's own affinity, which waits for labels of the feature discovery.
    affinity     = null
    nodeSelector = { "mendloop.dev/node-class" = "gpu" }
    tolerations  = [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
  })]
}
