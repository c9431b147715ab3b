//! What every `list` takes.

use clap::Args;

use super::wrong_usage;
use crate::engine::{
    filter::Filter,
    order::Order,
    reader::{List, Query},
};

/// Flags of every `list`.
#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Leave in only these: status:failed tenant:acme error:"rate limit" !state:NOTIFYING, or free text
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// How many rows at most
    #[arg(long, default_value_t = Query::DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// In which order: newest, oldest, and what else the list knows
    #[arg(long, value_name = "ORDER")]
    sort: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl Listing {
    /// The Query for `list`.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub(super) fn query(&self, list: List) -> anyhow::Result<Query> {
        let filter = Filter::parse_for(&list, &self.filter.join(" "));
        let filter = filter.or_else(|why| wrong_usage(why.to_string()))?;
        let order = self.sort.as_deref().map(|word| order(&list, word)).transpose()?;
        Ok(Query { list, filter, order, limit: self.limit, ..Query::default() })
    }
}

fn order(list: &List, word: &str) -> anyhow::Result<Order> {
    let known = list.orders();
    match known.iter().find(|order| order.as_str() == word) {
        Some(order) => Ok(*order),
        None => {
            let known: Vec<&str> = known.iter().map(|order| order.as_str()).collect();
            wrong_usage(format!("no order {word:?}: this list comes by {}", known.join(", ")))
        }
    }
}
