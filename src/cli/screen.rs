//! Where output goes: answers to stdout, everything else to stderr, coloured where that helps.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;

use super::args::Color;
use super::render::paragraph;

/// The two streams of a command.
pub struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    color: ColorChoice,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("color", &self.color).finish_non_exhaustive()
    }
}

impl Screen {
    /// The process's own streams. Colours that do not belong are stripped from each on its own, since
    /// one may be a file and the other a terminal.
    pub fn new(color: Color) -> Self {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            out: Box::new(AutoStream::new(io::stdout(), color)),
            err: Box::new(AutoStream::new(io::stderr(), color)),
            color,
        }
    }

    /// Writes one line of the answer.
    pub fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Whether the answer goes to a terminal.
    pub fn is_watched(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes an answer; where it is to be followed on a terminal, in the place of the last one.
    pub fn redraw(&mut self, text: impl fmt::Display, follow: bool) -> io::Result<()> {
        if follow && self.is_watched() {
            // To the top, over what stands there, and away with what is left of it.
            write!(io::stdout(), "\u{1b}[H\u{1b}[2J\u{1b}[3J")?;
        }
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes data as it is: bytes that look like colours belong to it.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes one line beside the answer: errors, warnings, progress.
    pub fn note(&mut self, text: impl fmt::Display) {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(self.err, "{text}");
    }

    /// Writes a warning beside the answer.
    pub fn warning(&mut self, text: impl fmt::Display) {
        let style = AnsiColor::Yellow.on_default().bold();
        self.note(format_args!("{style}warning{style:#}: {}", paragraph(text)));
    }

    /// Writes an error beside the answer.
    pub fn error(&mut self, text: impl fmt::Display) {
        let style = AnsiColor::Red.on_default().bold();
        self.note(format_args!("{style}error{style:#}: {}", paragraph(text)));
    }

    /// A stream of its own to where notes go.
    pub fn notes(&self) -> Box<dyn Write> {
        Box::new(AutoStream::new(io::stderr(), self.color))
    }

    /// Whether what goes beside the answer is coloured: a log file is not.
    pub fn colours_notes(&self) -> bool {
        let resolved = match self.color {
            ColorChoice::Auto => AutoStream::choice(&io::stderr()),
            asked => asked,
        };
        resolved != ColorChoice::Never
    }

    /// Whether a person watches stderr, so that a line may be drawn over again.
    pub fn is_live(&self) -> bool {
        io::stderr().is_terminal() && self.color != ColorChoice::Never
    }
}
