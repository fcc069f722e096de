output "role_arns" {
  description = "Roles by application."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
