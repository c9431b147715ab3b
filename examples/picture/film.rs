//! A film of a terminal: what changed from look to look, each for a fifth of a second, so that minutes pass in seconds.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    png,
    pty::Terminal,
    svg::{self, Palette},
};

/// How long a frame stands, in hundredths of a second, as GIF counts.
const FRAME: u32 = 20;

fn run(command: &mut Command, package: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{name} does not start; on Debian: apt-get install {package}"))?;
    if !status.success() {
        bail!("{name} failed, see above");
    }
    Ok(())
}

/// Frames, and how long each stands.
pub(crate) struct Film {
    every: Duration,
    frames: Vec<(String, u32)>,
}

impl Film {
    /// A film that looks at the screen `every` so often.
    pub(crate) fn every(every: Duration) -> Self {
        Self { every, frames: Vec::new() }
    }

    /// Waits as [`Terminal::look_for`] does, filming.
    pub(crate) fn look_for(
        &mut self,
        terminal: &Terminal,
        palette: &Palette,
        what: &str,
        limit: Duration,
        holds: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let begun = redrive::clock::instant();
        loop {
            let seen = terminal.look_for(what, self.every, &holds);
            self.take(terminal, palette, FRAME);
            match seen {
                Ok(_) => return Ok(()),
                Err(fault) if begun.elapsed() > limit => bail!(fault),
                Err(_) => {}
            }
        }
    }

    /// What the screen shows stands for `seconds`.
    pub(crate) fn hold(&mut self, terminal: &Terminal, palette: &Palette, seconds: f32) {
        self.take(terminal, palette, (seconds * 100.0) as u32);
    }

    fn take(&mut self, terminal: &Terminal, palette: &Palette, stands: u32) {
        let frame = svg::draw(&terminal.cells(), palette);
        match self.frames.last_mut() {
            Some((last, stood)) if *last == frame => *stood = (*stood).max(stands),
            _ => self.frames.push((frame, stands)),
        }
    }

    /// Writes it as a GIF that begins again when it is over.
    pub(crate) fn write(self, file: &Path) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut converter = Command::new("convert");
        converter.args(["-loop", "0"]);
        for (n, (frame, stands)) in self.frames.iter().enumerate() {
            let picture = folder.path().join(format!("{n:04}.png"));
            png(frame, "1", &picture)?;
            converter.arg("-delay").arg(stands.to_string()).arg(picture);
        }
        // Flat colours and their edges need few.
        run(converter.args(["+dither", "-colors", "48"]).arg(file), "imagemagick")?;
        // Each frame is cut to what changed.
        run(Command::new("gifsicle").args(["-O3", "--colors", "48", "--batch"]).arg(file), "gifsicle")
    }
}
