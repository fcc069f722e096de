# One login per application. Its password is made during apply and goes to Secrets Manager only:
# neither the plan nor the state ever holds it.

ephemeral "random_password" "login" {
  for_each = var.logins

  length = 40
  # Some applications put it into connection URLs: nothing that would have to be escaped there.
  special = false
}

resource "aws_secretsmanager_secret" "login" {
  #checkov:skip=CKV2_AWS_57: a password is rotated by raising password_version, and the guide says in which order
  for_each = var.logins

  name                    = "${var.name}/${each.key}"
  description             = "PostgreSQL login ${each.key} of ${var.name}: ${each.value.purpose}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 7
  tags                    = local.tags
}

resource "aws_secretsmanager_secret_version" "login" {
  for_each = var.logins

  secret_id                = aws_secretsmanager_secret.login[each.key].id
  secret_string_wo_version = each.value.password_version
  secret_string_wo = jsonencode({
    username = each.key
    password = ephemeral.random_password.login[each.key].result
    database = each.value.database
    host     = aws_db_instance.this.address
    port     = aws_db_instance.this.port
  })
}
