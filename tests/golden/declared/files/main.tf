resource "aws_s3_bucket" "not_read_because_a_catalog_is_declared" {}
