resource "aws_instance" "play" {}
