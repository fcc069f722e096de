output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster; identities are bound to it."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "URL of the API server."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate of the API server's authority, PEM."
  value       = base64decode(aws_eks_cluster.this.certificate_authority[0].data)
}

output "node_security_group_id" {
  description = "Security group of control plane and nodes; the database lets it in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "gpu_node_groups" {
  description = "Names of the GPU node groups."
  value       = [for group in aws_eks_node_group.gpu : group.node_group_name]
}
