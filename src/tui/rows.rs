//! The rows of a list as its logic sees them: an id and a version each, looked at where they are. A list may be long,
//! and is asked for every key and every frame.

use crate::engine::reader::{CircuitRow, LetterGroup, Rows};

/// One row as the lists' logic sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Its id, raw.
    pub id: &'a str,
    /// What a command names; 0 where rows have none.
    pub version: i64,
}

/// The rows of the list that is shown, in its order.
#[derive(Debug)]
pub enum ListRows<'a> {
    /// Not read yet.
    None,
    /// Groups of letters, by fingerprint.
    Groups(Vec<&'a LetterGroup>),
    /// Circuits, by operation.
    Circuits(&'a [CircuitRow]),
    /// What the database was asked for.
    Read(&'a Rows),
}

impl<'a> ListRows<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::None | Self::Read(Rows::None) => 0,
            Self::Groups(rows) => rows.len(),
            Self::Circuits(rows) => rows.len(),
            Self::Read(Rows::Onboardings(rows)) => rows.len(),
            Self::Read(Rows::Keys(rows)) => rows.len(),
            Self::Read(Rows::Letters(rows)) => rows.len(),
            Self::Read(Rows::Audit(rows)) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `index`, from 0.
    pub fn get(&self, index: usize) -> Option<RowRef<'a>> {
        let (id, version) = match self {
            Self::None | Self::Read(Rows::None) => return None,
            Self::Groups(rows) => (rows.get(index)?.fingerprint.as_str(), 0),
            Self::Circuits(rows) => (rows.get(index)?.operation.as_str(), 0),
            Self::Read(Rows::Onboardings(rows)) => {
                rows.get(index).map(|row| (row.id.as_str(), row.version))?
            }
            Self::Read(Rows::Keys(rows)) => rows.get(index).map(|row| (row.key.as_str(), row.version))?,
            Self::Read(Rows::Letters(rows)) => rows.get(index).map(|row| (row.id.as_str(), row.version))?,
            Self::Read(Rows::Audit(rows)) => (rows.get(index)?.id.as_str(), 0),
        };
        Some(RowRef { id, version })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Where `id` is; looked for first where it was.
    pub fn position(&self, id: &str, was: usize) -> Option<usize> {
        if self.get(was).is_some_and(|row| row.id == id) {
            return Some(was);
        }
        self.iter().position(|row| row.id == id)
    }
}
