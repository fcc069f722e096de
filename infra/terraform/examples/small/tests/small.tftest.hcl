mock_provider "aws" {
  source = "../../mocks"
}

mock_provider "kubernetes" {}

mock_provider "helm" {}

variables {
  administrator_role_arns = { platform = "arn:aws:iam::123456789012:role/platform" }
  endpoint_public_cidrs   = ["192.0.2.0/24"]
  journal_key_secret      = "journal-key"
  grafana_admin_secret    = "grafana"
  mendloop_image = {
    repository = "ghcr.io/example/mendloop"
    digest     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "everything_is_made" {
  command = apply

  assert {
    condition     = output.endpoints.kubeflow == "http://ml-pipeline.kubeflow.svc:8888"
    error_message = "The API of Kubeflow Pipelines has another address."
  }

  assert {
    condition     = length(output.bucket_names) == 4
    error_message = "A bucket is missing or too many."
  }
}
