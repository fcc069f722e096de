mock_provider "aws" {
  source = "../../mocks"
}

mock_provider "kubernetes" {}

mock_provider "helm" {}

variables {
  administrator_role_arns = { platform = "arn:aws:iam::123456789012:role/platform" }
  access_log_bucket       = "organisation-access-logs"
  log_kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
  journal_key_secret      = "journal-key"
  grafana_admin_secret    = "grafana"
  mlflow_admin_secret     = "mlflow"
  mendloop_image = {
    repository = "ghcr.io/example/mendloop"
    digest     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "everything_is_made" {
  command = apply

  assert {
    condition     = output.endpoints.mlflow == "http://mlflow.mlflow.svc"
    error_message = "MLflow has another address."
  }

  assert {
    condition     = length(output.bucket_names) == 5
    error_message = "A bucket is missing or too many."
  }
}
