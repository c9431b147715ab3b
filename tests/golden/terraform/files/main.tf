terraform {
  required_version = ">= 1.5"
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

module "network" {
  source = "./modules/network"
  name   = "payments-${var.region}"
}

module "alarms" {
  source  = "terraform-aws-modules/cloudwatch/aws"
  version = "5.0.0"
  topics  = [for topic in aws_sns_topic.alerts : topic.arn]
}

resource "aws_db_instance" "main" {
  engine               = "postgres"
  db_subnet_group_name = module.network.subnet_group
  kms_key_id           = aws_kms_key.main.arn
  depends_on           = [module.network, aws_iam_role.not_in_this_repository]
}

resource "aws_lambda_function" "worker" {
  function_name = "worker-${data.aws_caller_identity.current.account_id}"
  environment {
    variables = {
      QUEUE    = aws_sqs_queue.events.url
      DATABASE = "postgres://${aws_db_instance.main.address}/payments"
    }
  }
}
