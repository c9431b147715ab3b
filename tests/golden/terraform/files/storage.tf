resource "aws_kms_key" "main" {}

resource "aws_sqs_queue" "events" {
  kms_master_key_id = aws_kms_key.main.id
}

resource "aws_sns_topic" "alerts" {
  count = 2
}
