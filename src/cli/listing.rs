//! What every `list` takes.

use clap::Args;

use super::wrong_usage;
use crate::engine::{
    filter::Filter,
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
        Ok(Query { list, filter, limit: self.limit, ..Query::default() })
    }
}
