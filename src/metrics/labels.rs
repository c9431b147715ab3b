//! A metric's labels. They know nothing of how they were written, or of what they mean.

use std::{borrow::Cow, fmt, sync::Arc};

/// A metric's labels, sorted by name. Shared, not copied, and in one piece: a target may have 100,000 series.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<Packed>);

#[derive(Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Packed {
    /// Every name and value, one after the other.
    text: Box<str>,
    /// Where each of them ends in `text`.
    ends: Box<[usize]>,
}

/// A label's name and value.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl Labels {
    /// Labels from pairs in any order.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut pairs: Vec<Pair<'_>> = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        pairs.sort_unstable();
        Self::packed(&pairs)
    }

    /// Labels from pairs in any order; `None` where a name is given twice.
    pub(super) fn unique(pairs: &mut [Pair<'_>]) -> Option<Self> {
        if pairs.is_empty() {
            return Some(Self::default());
        }
        // Sorted first, since a hostile line may hold a million labels.
        pairs.sort_unstable();
        pairs.is_sorted_by(|(a, _), (b, _)| a < b).then(|| Self::packed(pairs))
    }

    fn packed(pairs: &[Pair<'_>]) -> Self {
        let mut text =
            String::with_capacity(pairs.iter().map(|(name, value)| name.len() + value.len()).sum());
        let mut ends = Vec::with_capacity(pairs.len() * 2);
        for word in pairs.iter().flat_map(|(name, value)| [name, value]) {
            text.push_str(word);
            ends.push(text.len());
        }
        Self(Arc::new(Packed { text: text.into(), ends: ends.into() }))
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    /// Every pair, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = &self.0.text;
        self.0.ends.chunks_exact(2).scan(0, move |from, ends| {
            let pair = (&text[*from..ends[0]], &text[ends[0]..ends[1]]);
            *from = ends[1];
            Some(pair)
        })
    }

    /// The same without those called `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        if !self.iter().any(|(name, _)| names.contains(&name)) {
            return self.clone();
        }
        let kept = self.iter().filter(|(name, _)| !names.contains(name));
        Self::packed(&kept.map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
