output "vpc_id" {
  description = "Identifier of the VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets without public addresses, one per zone: for nodes and databases."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets for load balancers, one per zone."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "nat_public_ips" {
  description = "Addresses under which the cluster calls out; for allow-lists of others."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}
