resource "aws_s3_bucket" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1" {}

resource "aws_s3_bucket" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2" {}

module "loop" {
  source = "./"
}

module "outside" {
  source = "../../../etc"
}

resource "aws_iam_policy" "self" {
  policy = aws_iam_policy.self.arn
}
