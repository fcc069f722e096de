mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "trial"
  region             = "eu-central-1"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "subnets_do_not_overlap" {
  command = plan

  assert {
    condition = (
      sort([for subnet in aws_subnet.private : subnet.cidr_block]) == tolist(["10.60.0.0/20", "10.60.16.0/20", "10.60.32.0/20"])
      && sort([for subnet in aws_subnet.public : subnet.cidr_block]) == tolist(["10.60.240.0/24", "10.60.241.0/24", "10.60.242.0/24"])
    )
    error_message = "Subnets lie elsewhere."
  }
}

run "each_zone_has_its_own_way_out" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "The outage of one zone would cut off the others."
  }
}

run "unless_one_has_to_do" {
  command = plan

  variables {
    single_nat_gateway = true
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"]
    error_message = "More than one NAT gateway."
  }
}

run "one_zone_is_not_enough" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a"]
  }

  expect_failures = [var.availability_zones]
}
