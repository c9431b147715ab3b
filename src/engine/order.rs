//! In which orders a list can come, and what each is called. The store turns them into ORDER BY.
//!
//! An order is offered only where it stays cheap: along an index, or among the newest [`Order::WINDOW`] matching rows.

use super::reader::{List, Query};
use crate::domain::word::words;

words!(
    /// In which order rows come.
    Order, "sort order", {
        /// Keys in trouble first, then the newest.
        Trouble = "trouble",
        /// The newest first.
        Newest = "newest",
        /// The oldest first.
        Oldest = "oldest",
        /// What moved last first.
        Updated = "updated",
        /// By tenant, then the newest.
        Tenant = "tenant",
        /// By state, then the newest.
        State = "state",
        /// The most attempts first.
        Attempts = "attempts",
        /// Keys in flight by the age of their lock, the longest held first; then the newest of the others.
        LockAge = "lock-age",
        /// The most conflicts first.
        Conflicts = "conflicts",
        /// Letters replayed most often first.
        Replays = "replays",
        /// The largest groups first.
        Count = "count",
    }
);

impl Order {
    /// Orders without an index look at so many of the newest rows that match.
    pub const WINDOW: i64 = Query::COUNT_CAP;

    /// Groups of letters: the board holds the largest of them, and the screen orders those.
    pub const GROUPS: &'static [Self] = &[Self::Count, Self::Newest, Self::Oldest];

    /// Whether it goes along an index over all rows, not only over a window of the newest.
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Trouble | Self::Newest | Self::Oldest | Self::Count)
    }
}

impl List {
    /// The orders its rows can come in; the first when nobody says.
    pub const fn orders(&self) -> &'static [Order] {
        use Order as O;
        match self {
            Self::None => &[],
            Self::Onboardings => &[O::Newest, O::Oldest, O::Updated, O::Tenant, O::State, O::Attempts],
            Self::Keys => &[O::Trouble, O::LockAge, O::Newest, O::Oldest, O::Attempts, O::Conflicts],
            Self::Letters { .. } => &[O::Newest, O::Oldest, O::Replays, O::Tenant, O::State],
            Self::Audit => &[O::Newest, O::Oldest],
        }
    }
}

impl Query {
    /// The order asked for, where the list knows it.
    pub fn ordered(&self) -> Order {
        let known = self.list.orders();
        let asked = self.order.filter(|order| known.contains(order));
        asked.or_else(|| known.first().copied()).unwrap_or(Order::Newest)
    }
}
