mock_provider "helm" {}

variables {
  chart     = "../../../helm/mendloop"
  namespace = "mendloop"
  image = {
    repository = "ghcr.io/example/mendloop"
    digest     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "the_callers_values_win" {
  command = plan

  variables {
    values = ["replicas: 3"]
  }

  assert {
    condition     = helm_release.this.values[length(helm_release.this.values) - 1] == "replicas: 3"
    error_message = "The caller's values do not come last."
  }
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    image = { repository = "ghcr.io/example/mendloop", digest = "latest" }
  }

  expect_failures = [var.image]
}

run "a_chart_from_a_registry_needs_a_version" {
  command = plan

  variables {
    chart = "oci://ghcr.io/example/charts/mendloop"
  }

  expect_failures = [var.chart_version]
}
