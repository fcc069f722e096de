mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name_prefix = "trial"
}

run "every_bucket_is_closed_versioned_and_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == length(aws_s3_bucket.this)
    error_message = "A bucket could be opened to the public."
  }

  assert {
    condition = alltrue([
      for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"
    ]) && length(aws_s3_bucket_versioning.this) == length(aws_s3_bucket.this)
    error_message = "A bucket forgets what was overwritten."
  }

  assert {
    condition = alltrue([
      for encryption in aws_s3_bucket_server_side_encryption_configuration.this :
      alltrue([for rule in encryption.rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"])
    ]) && length(aws_s3_bucket_server_side_encryption_configuration.this) == length(aws_s3_bucket.this)
    error_message = "A bucket is not encrypted by KMS."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this) == length(aws_s3_bucket.this)
    error_message = "A bucket keeps everything for ever."
  }
}

run "checkpoints_of_the_journal_cannot_be_deleted" {
  command = plan

  assert {
    condition     = keys(aws_s3_bucket_object_lock_configuration.this) == ["journal"]
    error_message = "The journal's bucket has no lock, or another has one."
  }
}

run "objects_do_not_expire_under_a_lock" {
  command = plan

  variables {
    buckets = { journal = { purpose = "journal", lock_days = 400, expire_days = 30 } }
  }

  expect_failures = [var.buckets]
}

run "names_that_s3_refuses_are_refused_here" {
  command = plan

  variables {
    buckets = { Journal_1 = { purpose = "journal" } }
  }

  expect_failures = [var.buckets]
}
