module "data" {
  source = "./data"
}
