output "address" {
  description = "Host name of the instance."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the instance."
  value       = aws_db_instance.this.port
}

output "instance_identifier" {
  description = "Identifier of the instance, for backups and for restoring."
  value       = aws_db_instance.this.identifier
}

output "administrator_secret_arn" {
  description = "Secret in which RDS keeps (and rotates) the administrator's password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "login_secret_arns" {
  description = "Secrets of the logins, by login."
  value       = { for login, secret in aws_secretsmanager_secret.login : login => secret.arn }
}

output "login_secret_names" {
  description = "Names of these secrets, by login; for External Secrets."
  value       = { for login, secret in aws_secretsmanager_secret.login : login => secret.name }
}

output "kms_key_arn" {
  description = "Key of the database and of its secrets."
  value       = aws_kms_key.this.arn
}
