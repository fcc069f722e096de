terraform {
  # Write-only attributes and ephemeral values, which keep passwords out of the state, came with 1.11.
  required_version = ">= 1.11.0"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.1"
    }
  }
}
