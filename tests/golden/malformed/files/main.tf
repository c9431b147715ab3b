resource "aws_s3_bucket" "not_used_instead" {}
