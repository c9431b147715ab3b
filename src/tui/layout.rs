//! Where things are, as numbers: shared by `update`, which scrolls, and `view`, which draws.
//!
//! ```text
//! header          1 row
//! tabs            1 row
//! banner          1 to 3 rows, only while something is wrong with the picture
//! body            the rest
//! hints or entry  1 row
//! ```

/// The least columns and rows the layout is drawn in; below, one sentence.
pub const SMALLEST: (u16, u16) = (60, 15);

/// Rows around the body.
const FRAME: u16 = 3;

/// Whether the layout fits.
pub fn fits(size: (u16, u16)) -> bool {
    size.0 >= SMALLEST.0 && size.1 >= SMALLEST.1
}

/// Rows of the body, under a banner of `banner` rows.
pub fn body_rows(size: (u16, u16), banner: usize) -> usize {
    usize::from(size.1.saturating_sub(FRAME)).saturating_sub(banner)
}

/// Rows of a list in `body` rows: without its border, its column titles and the panel below it.
pub fn list_rows(body: usize, panel: usize) -> usize {
    body.saturating_sub(3 + panel).max(1)
}

/// The row of the screen on which a list's first row stands, under a banner of `banner` rows: below the two lines at the
/// top, the list's border and its column titles.
pub fn first_list_row(banner: usize) -> usize {
    2 + banner + 2
}

/// Rows of a page in `body` rows: without its border.
pub fn page_rows(body: usize) -> usize {
    body.saturating_sub(2).max(1)
}

/// Rows of the panel that tells more of the row under the cursor, where `body` has room for it.
pub fn panel_rows(body: usize, wanted: usize) -> usize {
    if wanted > 0 && body >= wanted + 8 { wanted } else { 0 }
}

/// Columns inside a dialog.
pub fn dialog_columns(size: (u16, u16)) -> usize {
    usize::from(size.0.min(100).saturating_sub(10))
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
