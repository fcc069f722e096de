mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                   = "trial"
  vpc_id                 = "vpc-1"
  subnet_ids             = ["subnet-1", "subnet-2"]
  client_security_groups = { nodes = "sg-1" }
}

run "it_is_private_encrypted_and_backed_up" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted && aws_db_instance.this.multi_az
    error_message = "The database is public, not encrypted, or without a standby."
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 30 && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "The journal could be lost."
  }

  assert {
    condition     = anytrue([for setting in aws_db_parameter_group.this.parameter : setting.name == "rds.force_ssl" && setting.value == "1"])
    error_message = "Connections without encryption would be accepted."
  }
}

run "no_password_is_in_the_state" {
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password_wo == null
    error_message = "The administrator's password is Terraform's."
  }

  assert {
    condition     = alltrue([for version in aws_secretsmanager_secret_version.login : version.secret_string_wo == null])
    error_message = "A login's password is in the state."
  }
}

run "a_journal_without_backups_is_refused" {
  command = plan

  variables {
    backup_retention_days = 0
  }

  expect_failures = [var.backup_retention_days]
}

run "nobody_takes_the_administrators_name" {
  command = plan

  variables {
    logins = { postgres = { database = "mendloop", purpose = "Everything" } }
  }

  expect_failures = [var.logins]
}
