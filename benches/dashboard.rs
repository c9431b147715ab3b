//! What the dashboard costs in a huge world, 10,000 rows in the picture, on 200 × 50: to take a picture or a key in, to
//! draw the whole frame, and how many bytes a tick sends to the terminal; and what the screen and the half hour it can
//! step back through take after two hours of storm. `cargo bench --bench dashboard`.
//!
//! In microseconds, median and 99th percentile; believe only what a machine without other work says. Memory is what a
//! child process that does nothing else has resident, in MB.
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

#[allow(dead_code, reason = "the tests' worlds, of which a bench needs one")]
#[path = "../tests/suite/tui/worlds.rs"]
mod worlds;

use std::{
    cell::RefCell,
    env, fs,
    io::{self, Write},
    process::Command,
    rc::Rc,
    sync::Arc,
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
/// When memory is looked at, in minutes; there is a picture a second.
const MINUTES: [u64; 6] = [0, 10, 30, 60, 90, 120];

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
    fn new(world: worlds::World) -> Self {
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
        let sent = Sent::default();
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

/// What this process has resident, in MB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    kib / 1_000.0 * 1.024
}

/// Two hours in front of the onboardings, `rows` of them in each picture, in simulated time.
fn watch(rows: usize) {
    let mut world = worlds::huge();
    world.onboardings.truncate(rows);
    let mut screen = Screen::new(world);
    screen.tell(Msg::Key(Key::Char('2')));
    let begun = worlds::noon();
    for second in 0..=MINUTES[MINUTES.len() - 1] * 60 {
        let at = begun + TimeDelta::seconds(i64::try_from(second).unwrap());
        let mut picture = Arc::unwrap_or_clone(screen.world.picture(&screen.model.query()));
        (picture.number, picture.at) = (second + 1, at);
        screen.tell(Msg::Snapshot(Arc::new(picture)));
        screen.tell(Msg::Tick(at));
        screen.draw();
        if second % 60 == 0 && MINUTES.contains(&(second / 60)) {
            print!(" {:>7.1}", resident());
        }
    }
    println!();
}

fn memory() {
    println!(
        "memory in MB after minutes:          {}",
        MINUTES.map(|minute| format!(" {minute:>7}")).concat()
    );
    for rows in [200, 10_000] {
        let rows = rows.to_string();
        let child = Command::new(env::current_exe().unwrap()).args(["--watch", &rows]).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        print!("{rows:>6} rows in each picture        {}", String::from_utf8(child.stdout).unwrap());
    }
}

fn main() {
    let mut args = env::args().skip_while(|arg| arg != "--watch");
    if let (Some(_), Some(rows)) = (args.next(), args.next()) {
        return watch(rows.parse().unwrap());
    }
    memory();
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
        let mut screen = Screen::new(worlds::huge());
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
