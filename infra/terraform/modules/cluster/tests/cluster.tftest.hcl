mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                    = "trial"
  subnet_ids              = ["subnet-1", "subnet-2"]
  administrator_role_arns = { platform = "arn:aws:iam::123456789012:role/platform" }
  cpu_node_groups         = { general = { instance_types = ["m7i.large"], min_size = 1, max_size = 3 } }
  gpu_node_groups         = { gpu = { instance_types = ["g5.xlarge"], max_size = 4 } }
}

run "gpu_nodes_are_tainted_and_start_from_nothing" {
  command = plan

  assert {
    condition     = aws_eks_node_group.gpu["gpu"].scaling_config[0].min_size == 0 && aws_eks_node_group.gpu["gpu"].scaling_config[0].desired_size == 0
    error_message = "GPU nodes would run without being asked for."
  }

  assert {
    condition     = [for taint in aws_eks_node_group.gpu["gpu"].taint : "${taint.key}:${taint.effect}"] == ["nvidia.com/gpu:NO_SCHEDULE"]
    error_message = "Pods without a GPU could occupy GPU nodes."
  }

  assert {
    condition     = length(aws_eks_node_group.cpu["general"].taint) == 0
    error_message = "CPU nodes are for everybody."
  }
}

run "the_api_server_is_private_unless_networks_are_named" {
  command = plan

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "The API server would be public."
  }
}

run "pods_cannot_reach_the_credentials_of_nodes" {
  command = plan

  assert {
    condition = alltrue([
      for template in aws_launch_template.node :
      template.metadata_options[0].http_tokens == "required" && template.metadata_options[0].http_put_response_hop_limit == 1
    ])
    error_message = "The instance metadata service would answer pods."
  }

  assert {
    condition     = alltrue([for template in aws_launch_template.node : tostring(template.block_device_mappings[0].ebs[0].encrypted) == "true"])
    error_message = "A node's disk would not be encrypted."
  }
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    endpoint_public_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "serving_does_not_scale_to_zero" {
  command = plan

  variables {
    cpu_node_groups = { general = { instance_types = ["m7i.large"], min_size = 0, max_size = 3 } }
  }

  expect_failures = [var.cpu_node_groups]
}

run "one_name_is_one_group" {
  command = plan

  variables {
    gpu_node_groups = { general = { instance_types = ["g5.xlarge"], max_size = 1 } }
  }

  expect_failures = [var.gpu_node_groups]
}
