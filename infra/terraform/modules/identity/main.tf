# One IAM role per application, bound to its service account by EKS Pod Identity. A role may do what
# its entry names, on the buckets, keys and secrets that it names, and nothing else.

data "aws_caller_identity" "current" {}

locals {
  # One association per application and service account.
  accounts = merge([
    for name, app in var.applications : {
      for account in app.service_accounts : "${name}/${account}" => { application = name, account = account }
    }
  ]...)
  with_policy = {
    for name, app in var.applications : name => app
    if length(app.read) + length(app.write) + length(app.secret_arns) > 0
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = var.applications

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
      values   = [each.value.namespace]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = each.value.service_accounts
    }
  }
}

data "aws_iam_policy_document" "grants" {
  for_each = local.with_policy

  dynamic "statement" {
    for_each = concat(each.value.read, each.value.write)

    content {
      actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
      resources = [statement.value.bucket_arn]

      dynamic "condition" {
        for_each = statement.value.prefix == "" ? [] : [statement.value.prefix]

        content {
          test     = "StringLike"
          variable = "s3:prefix"
          values   = ["${condition.value}*"]
        }
      }
    }
  }

  dynamic "statement" {
    for_each = concat(each.value.read, each.value.write)

    content {
      actions   = ["s3:GetObject", "s3:GetObjectVersion"]
      resources = ["${statement.value.bucket_arn}/${statement.value.prefix}*"]
    }
  }

  # Writing is adding: with versioning on, an overwritten object is still there. Nobody may delete.
  dynamic "statement" {
    for_each = each.value.write

    content {
      actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
      resources = ["${statement.value.bucket_arn}/${statement.value.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = length(each.value.key_arns) == 0 ? [] : [each.value]

    content {
      actions = concat(
        ["kms:Decrypt", "kms:DescribeKey"],
        length(statement.value.write) == 0 ? [] : ["kms:GenerateDataKey"],
      )
      resources = statement.value.key_arns
    }
  }

  dynamic "statement" {
    for_each = length(each.value.secret_arns) == 0 ? [] : [each.value.secret_arns]

    content {
      actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = var.applications

  name                 = "${var.name_prefix}-${each.key}"
  description          = each.value.purpose
  assume_role_policy   = data.aws_iam_policy_document.trust[each.key].json
  permissions_boundary = var.permissions_boundary_arn
  max_session_duration = 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.with_policy

  name   = "grants"
  role   = aws_iam_role.this[each.key].id
  policy = data.aws_iam_policy_document.grants[each.key].json
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.accounts

  cluster_name    = var.cluster_name
  namespace       = var.applications[each.value.application].namespace
  service_account = each.value.account
  role_arn        = aws_iam_role.this[each.value.application].arn
  tags            = var.tags
}
