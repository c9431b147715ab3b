//! What the dashboard costs in a huge world, 10,000 rows in the picture, on 200 × 50: to take a picture or a key in, to
//! draw the whole frame, and how many bytes a tick sends to the terminal. `cargo bench --bench dashboard`.
//!
//! In microseconds, median and 99th percentile; believe only what a machine without other work says.
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

#[allow(dead_code, reason = "the tests' worlds, of which a bench needs one")]
#[path = "../tests/suite/tui/worlds.rs"]
mod worlds;

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    time::Duration,
};

use chrono::TimeDelta;
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use redrive::{
    clock,
    domain::text::SafeText,
    engine::Access,
    tui::{
        model::{Model, Setting},
        msg::{Effect, Key, Msg},
        theme::Look,
        update::update,
        view,
    },
};

const SIZE: (u16, u16) = (200, 50);
const ROUNDS: usize = 200;

/// Counts what a terminal would be sent.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<usize>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0.borrow_mut() += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Times in microseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = clock::instant();
        let value = work();
        self.0.push(began.elapsed().as_secs_f64() * 1e6);
        value
    }

    fn told(&mut self) -> String {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        format!("{:8.0} µs, p99 {:8.0} µs", at(0.5), at(0.99))
    }
}

struct Screen {
    model: Model,
    world: worlds::World,
    terminal: Terminal<CrosstermBackend<Sent>>,
    sent: Sent,
}

impl Screen {
    fn new() -> Self {
        let setting = Setting {
            title: SafeText::new("bench"),
            operator: "ana".to_owned(),
            access: Access::ReadWrite,
            database: None,
            interval: Duration::from_secs(1),
            playback: None,
            recording: false,
            preferences: Default::default(),
        };
        let (world, sent) = (worlds::huge(), Sent::default());
        let viewport = Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1));
        let backend = CrosstermBackend::new(sent.clone());
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
        let model = Model::new(setting, Look::default(), SIZE, worlds::noon());
        let mut screen = Self { model, world, terminal, sent };
        screen.look();
        screen
    }

    fn look(&mut self) {
        let picture = self.world.picture(&self.model.query());
        self.tell(Msg::Snapshot(picture));
    }

    fn tell(&mut self, msg: Msg) {
        let effects = update(&mut self.model, msg);
        if effects.iter().any(|effect| matches!(effect, Effect::Look(_))) {
            self.look();
        }
    }

    fn draw(&mut self) {
        self.terminal.draw(|frame| view::draw(&self.model, frame)).unwrap();
    }

    /// How many bytes were sent since the last time.
    fn bytes(&self) -> usize {
        self.sent.0.replace(0)
    }
}

fn main() {
    println!("{} × {}, 10,000 rows in the picture:", SIZE.0, SIZE.1);
    for (name, keys) in [
        ("pulse", "1"),
        ("onboardings", "2"),
        ("keys", "3"),
        ("letters", "4"),
        ("letters one by one", "4z"),
        ("circuits", "5"),
        ("audit", "6"),
    ] {
        let mut screen = Screen::new();
        keys.chars().for_each(|key| screen.tell(Msg::Key(Key::Char(key))));
        screen.tell(Msg::Drawn);
        screen.draw();
        let whole = screen.bytes();
        let [mut picture, mut moved, mut drawn] = [(); 3].map(|()| Times::default());
        let (mut ticks, mut most) = (0, 0);
        for round in 0..ROUNDS {
            let snapshot = screen.world.picture(&screen.model.query());
            picture.of(|| update(&mut screen.model, Msg::Snapshot(snapshot)));
            let key = if round % 2 == 0 { Key::Down } else { Key::PageDown };
            moved.of(|| update(&mut screen.model, Msg::Key(key)));
            drawn.of(|| screen.draw());
            screen.bytes();
            let now = screen.model.now + TimeDelta::seconds(1);
            screen.tell(Msg::Tick(now));
            screen.draw();
            let bytes = screen.bytes();
            (ticks, most) = (ticks + bytes, most.max(bytes));
        }
        println!(
            "{name:20} picture {}  key {}  frame {}  whole frame {whole} bytes, a tick {} bytes, at most {most}",
            picture.told(),
            moved.told(),
            drawn.told(),
            ticks / ROUNDS
        );
    }
}
