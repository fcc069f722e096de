# Buckets that nobody can open to the public, that keep old versions, and that forget on schedule.

data "aws_caller_identity" "current" {}

locals {
  # Account and prefix make the name unique in the world.
  names   = { for key, _ in var.buckets : key => "${var.name_prefix}-${data.aws_caller_identity.current.account_id}-${key}" }
  key_arn = var.kms_key_arn == null ? aws_kms_key.this[0].arn : var.kms_key_arn
  logged  = var.access_log_bucket == null ? {} : var.buckets
  locked  = { for key, bucket in var.buckets : key => bucket if bucket.lock_days != null }
}

resource "aws_kms_key" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "${var.name_prefix}: objects in S3"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = var.tags
}

resource "aws_kms_alias" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.name_prefix}-s3"
  target_key_id = aws_kms_key.this[0].key_id
}

# Who may use the key is said in IAM; the account's administrators can always hand it on.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109: a key's policy names the key itself by "*"; this statement hands control to the account's IAM
  #checkov:skip=CKV_AWS_111: the same statement; it is the policy that AWS gives a key by default
  #checkov:skip=CKV_AWS_356: in a key's policy "*" means this key
  statement {
    sid       = "AccountIsInControl"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18: access logs are written where access_log_bucket names a bucket; a small installation has none
  #checkov:skip=CKV_AWS_144: replication to another region is the organisation's choice, beside this module
  #checkov:skip=CKV2_AWS_62: nothing listens to object events; mendloop pins data by content digest
  for_each = var.buckets

  bucket              = local.names[each.key]
  object_lock_enabled = each.value.lock_days != null
  force_destroy       = var.force_destroy
  tags                = merge(var.tags, { Purpose = each.value.purpose })
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = var.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.key_arn
    }
  }
}

# Checkpoints of the journal are worth something because nobody can replace them.
resource "aws_s3_bucket_object_lock_configuration" "this" {
  for_each = local.locked

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = each.value.lock_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = local.logged

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = var.access_log_bucket
  target_prefix = "s3/${local.names[each.key]}/"
}
