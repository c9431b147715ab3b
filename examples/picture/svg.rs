//! A terminal's screen as SVG: backgrounds as rectangles, text on the grid, in the palette of a dark or light terminal.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// One cell in pixels. DejaVu Sans Mono at [`FONT_SIZE`] is exactly so wide, and its boxes join at this height.
const CELL: (f32, f32) = (10.0, 19.0);
/// The font advances by 1233/2048 of its size.
const FONT_SIZE: f32 = 10.0 * 2048.0 / 1233.0;
/// From the top of a cell to the foot of its letters.
const BASELINE: f32 = 15.0;
/// Around the screen.
const MARGIN: f32 = 12.0;

type Rgb = (u8, u8, u8);

/// What a terminal shows for the colours a program names only by number or not at all.
pub(crate) struct Palette {
    background: Rgb,
    text: Rgb,
    ansi: [Rgb; 16],
}

/// A dark terminal.
pub(crate) const DARK: Palette = Palette {
    background: (0x15, 0x18, 0x1e),
    text: (0xd5, 0xd9, 0xe0),
    ansi: [
        (0x1f, 0x24, 0x2c),
        (0xf0, 0x61, 0x62),
        (0x6c, 0xc5, 0x76),
        (0xe0, 0xaf, 0x4c),
        (0x5f, 0xa8, 0xf0),
        (0xc0, 0x84, 0xe6),
        (0x4f, 0xc1, 0xc4),
        (0xc3, 0xc8, 0xd1),
        (0x78, 0x80, 0x8d),
        (0xff, 0x86, 0x85),
        (0x8f, 0xdc, 0x96),
        (0xf5, 0xcb, 0x74),
        (0x8c, 0xc4, 0xff),
        (0xd6, 0xa6, 0xf5),
        (0x7d, 0xda, 0xdc),
        (0xf6, 0xf8, 0xfb),
    ],
};

/// A light terminal.
pub(crate) const LIGHT: Palette = Palette {
    background: (0xfc, 0xfb, 0xf8),
    text: (0x23, 0x28, 0x30),
    ansi: [
        (0x23, 0x28, 0x30),
        (0xc0, 0x25, 0x2f),
        (0x1d, 0x7a, 0x36),
        (0x93, 0x60, 0x00),
        (0x13, 0x5f, 0xbe),
        (0x83, 0x3c, 0xb0),
        (0x00, 0x73, 0x7c),
        (0x6a, 0x71, 0x7c),
        (0x8a, 0x91, 0x9c),
        (0xd8, 0x3a, 0x42),
        (0x2a, 0x93, 0x48),
        (0xb0, 0x76, 0x0a),
        (0x2b, 0x78, 0xdb),
        (0x9c, 0x55, 0xc9),
        (0x12, 0x8c, 0x96),
        (0xfc, 0xfb, 0xf8),
    ],
};

impl Palette {
    fn rgb(&self, color: Color, default: Rgb) -> Rgb {
        match color {
            Color::Default => default,
            Color::Rgb(r, g, b) => (r, g, b),
            Color::Idx(n @ 0..16) => self.ansi[usize::from(n)],
            Color::Idx(n @ 16..232) => {
                let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
                (level((n - 16) / 36), level((n - 16) / 6 % 6), level((n - 16) % 6))
            }
            Color::Idx(n) => (8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232)),
        }
    }

    /// Text and background of a cell, after inverse and dim.
    fn of(&self, cell: &Cell) -> (Rgb, Rgb) {
        let (mut text, mut back) =
            (self.rgb(cell.fgcolor(), self.text), self.rgb(cell.bgcolor(), self.background));
        if cell.inverse() {
            (text, back) = (back, text);
        }
        if cell.dim() {
            let half = |a: u8, b: u8| ((u16::from(a) * 3 + u16::from(b) * 2) / 5) as u8;
            text = (half(text.0, back.0), half(text.1, back.1), half(text.2, back.2));
        }
        (text, back)
    }
}

/// The screen as an SVG document.
pub(crate) fn draw(screen: &Screen, palette: &Palette) -> String {
    let (rows, cols) = screen.size();
    let (width, height) = (f32::from(cols) * CELL.0 + 2.0 * MARGIN, f32::from(rows) * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' xml:space='preserve' \
         font-family='DejaVu Sans Mono' font-size='{FONT_SIZE}'>\n\
         <rect width='100%' height='100%' fill='{}'/>\n",
        hex(palette.background)
    );
    let cells = || (0..rows).flat_map(|y| (0..cols).map(move |x| (x, y)));
    // All backgrounds first: a letter may lean into the next cell.
    for (x, y) in cells() {
        let Some(cell) = screen.cell(y, x) else { continue };
        let (_, back) = palette.of(cell);
        if back != palette.background {
            rectangle(&mut svg, x, y, back, 1.0);
        }
    }
    if !screen.hide_cursor() {
        let (y, x) = screen.cursor_position();
        rectangle(&mut svg, x, y, palette.text, 0.45);
    }
    for (x, y) in cells() {
        if let Some(cell) = screen.cell(y, x).filter(|cell| !cell.contents().trim().is_empty()) {
            letter(&mut svg, x, y, cell, palette.of(cell).0);
        }
    }
    svg + "</svg>\n"
}

fn rectangle(svg: &mut String, x: u16, y: u16, color: Rgb, opacity: f32) {
    let (left, top) = (MARGIN + f32::from(x) * CELL.0, MARGIN + f32::from(y) * CELL.1);
    let _ = writeln!(
        svg,
        "<rect x='{left}' y='{top}' width='{}' height='{}' fill='{}' fill-opacity='{opacity}' \
         shape-rendering='crispEdges'/>",
        CELL.0,
        CELL.1,
        hex(color)
    );
}

fn letter(svg: &mut String, x: u16, y: u16, cell: &Cell, color: Rgb) {
    let (left, foot) = (MARGIN + f32::from(x) * CELL.0, MARGIN + f32::from(y) * CELL.1 + BASELINE);
    let weight = if cell.bold() { " font-weight='bold'" } else { "" };
    let slant = if cell.italic() { " font-style='italic'" } else { "" };
    let line = if cell.underline() { " text-decoration='underline'" } else { "" };
    let text = cell.contents().replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, "<text x='{left}' y='{foot}' fill='{}'{weight}{slant}{line}>{text}</text>", hex(color));
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
