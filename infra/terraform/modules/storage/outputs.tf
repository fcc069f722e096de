output "bucket_names" {
  description = "Names of the buckets, by their key."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.bucket }
}

output "bucket_arns" {
  description = "ARNs of the buckets, by their key; for the identity module."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
}

output "kms_key_arn" {
  description = "Key that encrypts the objects; whoever reads or writes them needs it."
  value       = local.key_arn
}
