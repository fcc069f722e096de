mock_provider "aws" {
  source = "../../mocks"
}

variables {
  cluster_name = "trial"
  cluster_arn  = "arn:aws:eks:eu-central-1:123456789012:cluster/trial"
  name_prefix  = "trial"
  applications = {
    serving = {
      namespace        = "models"
      service_accounts = ["serving", "batch"]
      purpose          = "Model servers"
      read             = [{ bucket_arn = "arn:aws:s3:::artifacts", prefix = "models/" }]
    }
    nothing = { namespace = "models", service_accounts = ["idle"], purpose = "May do nothing" }
  }
}

run "one_association_per_service_account" {
  command = plan

  assert {
    condition     = sort(keys(aws_eks_pod_identity_association.this)) == tolist(["nothing/idle", "serving/batch", "serving/serving"])
    error_message = "A service account has no identity, or somebody else's."
  }

  assert {
    condition     = keys(aws_iam_role_policy.this) == ["serving"]
    error_message = "Who is granted nothing needs no policy."
  }
}

run "readers_do_not_write" {
  command = plan

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.grants["serving"].statement : !contains(statement.actions, "s3:PutObject")
    ])
    error_message = "A reader may write."
  }

  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.grants["serving"].statement : statement.resources == toset(["arn:aws:s3:::artifacts/models/*"])
    ])
    error_message = "The prefix does not bound what is read."
  }
}

run "wildcards_are_refused" {
  command = plan

  variables {
    applications = {
      all = { namespace = "models", service_accounts = ["all"], purpose = "Everything", read = [{ bucket_arn = "arn:aws:s3:::*" }] }
    }
  }

  expect_failures = [var.applications]
}

run "prefixes_end_in_a_slash" {
  command = plan

  variables {
    applications = {
      logs = { namespace = "models", service_accounts = ["logs"], purpose = "Logs", read = [{ bucket_arn = "arn:aws:s3:::logs", prefix = "a" }] }
    }
  }

  expect_failures = [var.applications]
}
