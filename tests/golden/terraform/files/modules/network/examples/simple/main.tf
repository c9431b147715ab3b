resource "aws_vpc" "only_an_example" {}
