//! Terraform files: the modules and resources they declare and what each of them refers to.

use hcl::{
    Body, Expression, Structure,
    expr::{Operation, TraversalOperator},
    template::{Directive, Element, Template},
};
use serde::{Deserialize, Serialize};

/// A `module` or `resource` block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Block {
    /// The folder it stands in, without a trailing slash; empty for the root. References stay within a folder.
    pub folder: String,
    /// `aws_s3_bucket.logs`, `module.vpc`.
    pub address: String,
    /// The file it stands in.
    pub file: String,
    /// `aws_s3_bucket`, `module`.
    pub kind: String,
    /// A module's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Addresses it refers to, `depends_on` included, sorted; may name what does not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refers_to: Vec<String>,
}

/// The blocks of the file `path`.
///
/// # Errors
/// A note for the reader when the file cannot be parsed.
pub(super) fn parse(path: &str, text: &str) -> Result<Vec<Block>, String> {
    let body = hcl::parse(text).map_err(|error| {
        let line = match &error {
            hcl::Error::Parse(parse) => format!(", line {}", parse.location().line()),
            _ => String::new(),
        };
        format!("{path}{line} is not valid Terraform: left out")
    })?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let blocks = body.blocks().filter_map(|block| {
        let labels: Vec<&str> = block.labels().iter().map(hcl::BlockLabel::as_str).collect();
        let (kind, address) = match (block.identifier(), labels.as_slice()) {
            ("resource", [kind, name]) => ((*kind).to_owned(), format!("{kind}.{name}")),
            ("module", [name]) => ("module".to_owned(), format!("module.{name}")),
            _ => return None,
        };
        let source = block.body().attributes().find(|a| a.key() == "source").and_then(|a| match a.expr() {
            Expression::String(source) if kind == "module" => Some(source.clone()),
            _ => None,
        });
        let mut refers_to = Vec::new();
        in_body(block.body(), &mut refers_to);
        refers_to.sort();
        refers_to.dedup();
        refers_to.retain(|other| *other != address);
        Some(Block { folder: folder.to_owned(), address, file: path.to_owned(), kind, source, refers_to })
    });
    Ok(blocks.collect())
}

fn in_body(body: &Body, found: &mut Vec<String>) {
    for structure in body.iter() {
        match structure {
            Structure::Attribute(attribute) => in_expression(attribute.expr(), found),
            Structure::Block(block) => in_body(block.body(), found),
        }
    }
}

/// The parser bounds how deep an expression nests, so recursion is safe.
fn in_expression(expression: &Expression, found: &mut Vec<String>) {
    match expression {
        Expression::Traversal(traversal) => {
            if let Expression::Variable(root) = &traversal.expr {
                found.extend(address(root.as_str(), &traversal.operators));
            }
            in_expression(&traversal.expr, found);
            for operator in &traversal.operators {
                if let TraversalOperator::Index(index) = operator {
                    in_expression(index, found);
                }
            }
        }
        Expression::Array(items) => items.iter().for_each(|item| in_expression(item, found)),
        Expression::Object(object) => object.iter().for_each(|(key, value)| {
            if let hcl::ObjectKey::Expression(key) = key {
                in_expression(key, found);
            }
            in_expression(value, found);
        }),
        Expression::TemplateExpr(template) => {
            if let Ok(template) = Template::from_expr(template) {
                in_template(&template, found);
            }
        }
        Expression::FuncCall(call) => call.args.iter().for_each(|arg| in_expression(arg, found)),
        Expression::Parenthesis(inner) => in_expression(inner, found),
        Expression::Conditional(c) => {
            for part in [&c.cond_expr, &c.true_expr, &c.false_expr] {
                in_expression(part, found);
            }
        }
        Expression::Operation(operation) => match operation.as_ref() {
            Operation::Unary(unary) => in_expression(&unary.expr, found),
            Operation::Binary(binary) => {
                in_expression(&binary.lhs_expr, found);
                in_expression(&binary.rhs_expr, found);
            }
        },
        Expression::ForExpr(each) => {
            in_expression(&each.collection_expr, found);
            in_expression(&each.value_expr, found);
            for part in [&each.key_expr, &each.cond_expr].into_iter().flatten() {
                in_expression(part, found);
            }
        }
        _ => {}
    }
}

fn in_template(template: &Template, found: &mut Vec<String>) {
    for element in template.elements() {
        match element {
            Element::Literal(_) => {}
            Element::Interpolation(part) => in_expression(&part.expr, found),
            Element::Directive(directive) => match directive.as_ref() {
                Directive::If(choice) => {
                    in_expression(&choice.cond_expr, found);
                    in_template(&choice.true_template, found);
                    choice.false_template.iter().for_each(|other| in_template(other, found));
                }
                Directive::For(each) => {
                    in_expression(&each.collection_expr, found);
                    in_template(&each.template, found);
                }
            },
        }
    }
}

/// `module.vpc` or `aws_s3_bucket.logs`; variables, locals and data are not things of their own.
fn address(root: &str, operators: &[TraversalOperator]) -> Option<String> {
    const NOT_THINGS: [&str; 9] =
        ["var", "local", "data", "each", "count", "path", "terraform", "self", "provider"];
    let Some(TraversalOperator::GetAttr(name)) = operators.first() else { return None };
    // A resource type carries its provider: aws_….
    let thing = root == "module" || (root.contains('_') && !NOT_THINGS.contains(&root));
    thing.then(|| format!("{root}.{}", name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_an_expression_can_stand() {
        let text = r#"
            resource "aws_instance" "web" {
              ami        = data.aws_ami.ubuntu.id
              subnet_id  = module.vpc.subnets[0]
              user_data  = "host ${aws_db_instance.main.address} %{ if aws_sns_topic.t.arn != "" }x%{ endif }"
              tags       = { Bucket = aws_s3_bucket.logs[var.i].id }
              depends_on = [aws_iam_role.web]
              vpc_ids    = [for s in aws_security_group.all : s.id if aws_vpc.main.ready]
              ebs_block_device { kms_key_id = (var.x ? aws_kms_key.a.arn : lookup(aws_kms_alias.b.map, "k")) }
            }
            module "vpc" { source = "./modules/vpc" }
            variable "i" {}
        "#;
        let blocks = parse("live/main.tf", text).expect("valid");
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            blocks[0].refers_to,
            [
                "aws_db_instance.main",
                "aws_iam_role.web",
                "aws_kms_alias.b",
                "aws_kms_key.a",
                "aws_s3_bucket.logs",
                "aws_security_group.all",
                "aws_sns_topic.t",
                "aws_vpc.main",
                "module.vpc",
            ]
        );
        assert_eq!(blocks[1].source.as_deref(), Some("./modules/vpc"));
        assert_eq!((blocks[0].folder.as_str(), blocks[0].address.as_str()), ("live", "aws_instance.web"));
    }

    #[test]
    fn a_file_that_is_not_terraform_is_a_note_with_its_line() {
        let note = parse("main.tf", "resource \"a_b\" \"c\" {}\nresource {{{").expect_err("broken");
        assert_eq!(note, "main.tf, line 2 is not valid Terraform: left out");
    }

    #[test]
    fn nesting_without_end_does_not_bring_the_program_down() {
        for hostile in ["[", "(", "{ a = ", "!", "-", "true ? ", "f(", "[for a in ", "\"${"] {
            let text = format!("resource \"a_b\" \"c\" {{\n  x = {}\n}}", hostile.repeat(20_000));
            assert!(parse("main.tf", &text).is_err(), "{hostile}");
        }
        let blocks = "b {\n".repeat(20_000);
        assert!(parse("main.tf", &blocks).is_err());
        let sums = format!("resource \"a_b\" \"c\" {{\n  x = 1{}\n}}", " + 1".repeat(50_000));
        let _ = parse("main.tf", &sums);
        let chained = format!("resource \"a_b\" \"c\" {{\n  x = {}1\n}}", "true ? 1 : ".repeat(20_000));
        let _ = parse("main.tf", &chained);
    }
}
