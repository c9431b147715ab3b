//! Takes pictures of a program in a real terminal: presses keys, waits for texts, writes what the screen shows.
//!
//! ```text
//! cargo run --example picture -- [STEP…] -- PROGRAM [ARGUMENT…]
//!
//!   --size 120x36      columns and rows; the first --size is the terminal's, later ones resize it
//!   --palette dark     the terminal's own colours from here on: dark (at first) or light
//!   --env NAME=VALUE   for the program
//!   --limit 60         seconds that a --wait or --gone may take from here on
//!   --wait TEXT        waits until TEXT stands on the screen
//!   --gone TEXT        waits until TEXT no longer stands on the screen
//!   --keys 'j Enter'   presses keys
//!   --type TEXT        types TEXT
//!   --out FILE         writes the screen as FILE: .png, .svg or .txt
//!   --film 1           from here on looks at the screen so often, in seconds; what changed becomes a frame of a fifth of one
//!   --hold 2           the newest frame stands for so long, in seconds
//!   --out FILE.gif     writes the film and ends it
//! ```
//! Steps are done in the order given, so one run takes any number of pictures. The program is killed after the last.
//! A PROGRAM without a folder is first looked for where cargo puts its binaries, beside this example.

mod film;
#[allow(dead_code, reason = "pictures need a part of what tests need")]
#[path = "../../tests/suite/support/pty.rs"]
mod pty;
mod svg;

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use film::Film;
use pty::Terminal;

/// How long a screen must stay unchanged to count as whole, and how long that is waited for.
const QUIET: (Duration, Duration) = (Duration::from_millis(120), Duration::from_secs(3));

fn main() -> ExitCode {
    match take() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("picture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let Some(end) = arguments.iter().position(|argument| argument == "--") else {
        bail!("no program: write -- and the program after the steps, as in: --out a.png -- redrive demo")
    };
    let program = arguments.split_off(end + 1);
    arguments.pop();
    let (Some(name), (pairs, [])) = (program.first(), arguments.as_chunks::<2>()) else {
        bail!("each step is an option and its value, and a program follows the --");
    };
    let steps: Vec<(&str, &str)> =
        pairs.iter().map(|[option, value]| (option.as_str(), value.as_str())).collect();

    let first_size =
        steps.iter().find(|(option, _)| *option == "--size").map_or("120x36", |(_, value)| value);
    let (cols, rows) = size(first_size)?;
    let set = steps.iter().filter(|(option, _)| *option == "--env");
    let env: Vec<(&str, &str)> = set.filter_map(|(_, value)| value.split_once('=')).collect();
    let rest: Vec<&str> = program[1..].iter().map(String::as_str).collect();
    let mut terminal = Terminal::spawn(&found(name), &rest, cols, rows, &env);

    let mut palette = &svg::DARK;
    let mut limit = Duration::from_secs(60);
    let mut film: Option<Film> = None;
    for (option, value) in steps {
        match option {
            "--size" => {
                let (cols, rows) = size(value)?;
                terminal.resize(cols, rows);
            }
            "--palette" if value == "dark" => palette = &svg::DARK,
            "--palette" if value == "light" => palette = &svg::LIGHT,
            "--env" => {}
            "--limit" => limit = Duration::from_secs(value.parse().context("--limit wants whole seconds")?),
            "--wait" | "--gone" => {
                let wanted = option == "--wait";
                let what = format!("{option} {value:?}");
                let holds = |screen: &str| screen.contains(value) == wanted;
                match &mut film {
                    None => terminal.look_for(&what, limit, holds).map(|_| ()).map_err(anyhow::Error::msg)?,
                    Some(film) => film.look_for(&terminal, palette, &what, limit, holds)?,
                }
            }
            "--film" => film = Some(Film::every(Duration::from_secs_f32(value.parse()?))),
            "--hold" => {
                terminal.settle(QUIET.0, QUIET.1);
                let film = film.as_mut().context("--hold holds a film: begin it with --film")?;
                film.hold(&terminal, palette, value.parse().context("--hold wants seconds")?);
            }
            "--out" if value.ends_with(".gif") => {
                let film = film.take().context("a .gif is a film: begin it with --film")?;
                film.write(Path::new(value)).with_context(|| format!("writing {value}"))?;
            }
            "--keys" => terminal.press(value),
            "--type" => terminal.type_text(value),
            "--out" => {
                terminal.settle(QUIET.0, QUIET.1);
                write(&terminal, palette, Path::new(value)).with_context(|| format!("writing {value}"))?;
            }
            _ => bail!("unknown step {option} {value}"),
        }
    }
    Ok(())
}

fn size(text: &str) -> Result<(u16, u16)> {
    let (cols, rows) =
        text.split_once('x').with_context(|| format!("a size looks like 120x36, not {text}"))?;
    Ok((cols.parse()?, rows.parse()?))
}

/// `target/PROFILE/NAME` if there is one, as this runs from `target/PROFILE/examples/`.
fn found(name: &str) -> PathBuf {
    let built = env::current_exe().ok().and_then(|own| Some(own.parent()?.parent()?.join(name)));
    built.filter(|file| !name.contains('/') && file.is_file()).unwrap_or_else(|| name.into())
}

fn write(terminal: &Terminal, palette: &svg::Palette, file: &Path) -> Result<()> {
    match file.extension().and_then(|kind| kind.to_str()) {
        Some("txt") => Ok(fs::write(file, terminal.screen())?),
        Some("svg") => Ok(fs::write(file, svg::draw(&terminal.cells(), palette))?),
        Some("png") => png(&svg::draw(&terminal.cells(), palette), "1.5", file),
        _ => bail!("a picture is .png, .svg or .txt, a film .gif"),
    }
}

/// Paints `svg` as `file`, enlarged.
fn png(svg: &str, zoom: &str, file: &Path) -> Result<()> {
    let mut converter = Command::new("rsvg-convert")
        .args(["--format=png", "--zoom", zoom, "--output"])
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .context("rsvg-convert does not start; on Debian: apt-get install librsvg2-bin fonts-dejavu-core")?;
    let mut input = converter.stdin.take().context("the input is piped")?;
    input.write_all(svg.as_bytes())?;
    drop(input);
    if !converter.wait()?.success() {
        bail!("rsvg-convert failed, see above");
    }
    Ok(())
}
