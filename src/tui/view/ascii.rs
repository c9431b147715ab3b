//! For terminals and locales without Unicode: every cell that is not ASCII becomes one that is, in one place.

use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

/// Replaces what is not ASCII, cell by cell; a wide character becomes `?` and a space.
pub(super) fn apply(buffer: &mut Buffer) {
    let mut after_wide = false;
    for cell in &mut buffer.content {
        if std::mem::take(&mut after_wide) {
            cell.set_symbol(" ");
        } else if !cell.symbol().is_ascii() {
            after_wide = cell.symbol().width() > 1;
            let replaced = cell.symbol().chars().next().map_or(' ', plain);
            cell.set_char(replaced);
        }
    }
}

fn plain(c: char) -> char {
    match c {
        '│' | '▌' | '‖' => '|',
        '─' | '—' | '–' => '-',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
        '·' | '…' => '.',
        '●' | '▪' => '*',
        '○' => 'o',
        '✓' => 'v',
        '✗' | '×' => 'x',
        '█' => '#',
        '▾' => 'v',
        '“' | '”' => '"',
        '→' | '›' | '▸' => '>',
        '←' | '‹' => '<',
        '↑' => '^',
        '↓' => 'v',
        'ρ' => 'p',
        'α' => 'a',
        'η' => 'n',
        '⏎' | '␛' | '⇥' => '~',
        c if ('\u{2800}'..='\u{28ff}').contains(&c) => match (u32::from(c) - 0x2800).count_ones() {
            0 => ' ',
            1..=2 => '.',
            3..=5 => ':',
            _ => '#',
        },
        c if ('\u{2400}'..='\u{243f}').contains(&c) => '~',
        _ => '?',
    }
}
