output "role_arn" {
  description = "Role of the autoscaler."
  value       = aws_iam_role.this.arn
}
