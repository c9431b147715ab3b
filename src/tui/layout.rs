//! Where things are, as numbers: shared by `update`, which scrolls, and `view`, which draws.
//!
//! ```text
//! header          1 row
//! tabs            1 row
//! banner          1 row, only while something is wrong with the picture
//! body            the rest
//! hints or entry  1 row
//! ```

use super::model::Place;

/// The least columns and rows the layout is drawn in; below, one sentence.
pub const SMALLEST: (u16, u16) = (60, 15);

/// Rows around the body.
const FRAME: u16 = 3;

/// Whether the layout fits.
pub fn fits(size: (u16, u16)) -> bool {
    size.0 >= SMALLEST.0 && size.1 >= SMALLEST.1
}

/// Rows of the body.
pub fn body_rows(size: (u16, u16), banner: bool) -> usize {
    usize::from(size.1.saturating_sub(FRAME + u16::from(banner)))
}

/// Rows of a list in the body: without its border, its column titles and the panel below it.
pub fn list_rows(size: (u16, u16), banner: bool, place: Place) -> usize {
    let body = body_rows(size, banner);
    body.saturating_sub(3 + panel_rows(body, place)).max(1)
}

/// Rows of the panel that tells more of the row under the cursor, for lists without pages.
pub fn panel_rows(body: usize, place: Place) -> usize {
    match place {
        Place::Audit | Place::Circuits if body >= 16 => 8,
        _ => 0,
    }
}

/// Rows of a page in the body: without its border.
pub fn page_rows(size: (u16, u16), banner: bool) -> usize {
    body_rows(size, banner).saturating_sub(2).max(1)
}

/// Columns inside a dialog.
pub fn dialog_columns(size: (u16, u16)) -> usize {
    usize::from(size.0.min(96).saturating_sub(6))
}

/// Rows inside a dialog, at most.
pub fn dialog_rows(size: (u16, u16)) -> usize {
    usize::from(size.1.saturating_sub(4))
}

/// The first visible row so that `cursor` is among `height` visible ones, moving as little as possible.
pub fn scrolled(top: usize, cursor: usize, height: usize, rows: usize) -> usize {
    let top = top.min(rows.saturating_sub(height));
    if cursor < top {
        cursor
    } else if cursor >= top + height {
        cursor + 1 - height
    } else {
        top
    }
}
