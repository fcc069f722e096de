terraform {
  # Write-only attributes and ephemeral values, which keep passwords out of the state, came with 1.11.
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }
}
