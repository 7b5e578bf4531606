//! What is known of the terminal: its width, and whether it takes colours.

use std::env;
use std::io;

use anstyle::{AnsiColor, Style};
use sockpulse_core::Exposure;
use sockpulse_core::finding::Severity;

/// Columns where nothing says otherwise.
pub(crate) const USUAL_WIDTH: usize = 80;

/// Columns of standard output: `COLUMNS` if set, else the terminal's, else 80.
pub(crate) fn width() -> usize {
    let asked = env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.trim().parse().ok());
    let terminal = || {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col))
    };
    asked
        .or_else(terminal)
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL_WIDTH)
}

/// Whether and how things are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// As they are.
    Plain,
    /// With ANSI's eight colours, which every terminal theme makes readable.
    Ansi,
}

impl Palette {
    /// By choice, else by `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and whether stdout is a terminal.
    pub(crate) fn of_stdout(choice: anstream::ColorChoice) -> Self {
        let choice = match choice {
            anstream::ColorChoice::Auto => anstream::AutoStream::choice(&io::stdout()),
            other => other,
        };
        Self::of(choice)
    }

    /// The same of stderr.
    pub(crate) fn of_stderr(choice: anstream::ColorChoice) -> Self {
        let choice = match choice {
            anstream::ColorChoice::Auto => anstream::AutoStream::choice(&io::stderr()),
            other => other,
        };
        Self::of(choice)
    }

    const fn of(choice: anstream::ColorChoice) -> Self {
        match choice {
            anstream::ColorChoice::Never => Self::Plain,
            _ => Self::Ansi,
        }
    }

    /// Appends `text` in the style.
    pub(crate) fn paint(self, out: &mut Vec<u8>, style: Style, text: &[u8]) {
        if self == Self::Plain || style == Style::new() {
            out.extend_from_slice(text);
            return;
        }
        out.extend_from_slice(style.render().to_string().as_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(style.render_reset().to_string().as_bytes());
    }
}

const fn color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(color)))
}

/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What is well.
pub(crate) const GOOD: Style = color(AnsiColor::Green);
/// What is worse than asked for.
pub(crate) const WARN: Style = color(AnsiColor::Yellow);
/// What loses connections or keeps them for ever.
pub(crate) const BAD: Style = color(AnsiColor::Red);
/// Commands to paste.
pub(crate) const COMMAND: Style = color(AnsiColor::Cyan);

/// The colour of an exposure.
pub(crate) const fn of_exposure(exposure: Exposure) -> Style {
    match exposure {
        Exposure::Unprotected | Exposure::Fragile => BAD,
        Exposure::Slow | Exposure::Probing => WARN,
        Exposure::Protected => GOOD,
        Exposure::Local | Exposure::Unknown => DIM,
    }
}

/// The colour of a finding's code.
pub(crate) const fn of_severity(severity: Severity) -> Style {
    match severity {
        Severity::Bad => BAD,
        Severity::Warn => WARN,
        Severity::Note => Style::new(),
    }
}

/// Lines of the terminal: `LINES` if set, else the terminal's; `None` where stdout is none.
pub(crate) fn height() -> Option<usize> {
    let asked = env::var("LINES")
        .ok()
        .and_then(|lines| lines.trim().parse().ok());
    let terminal = || {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_row))
    };
    asked.or_else(terminal).filter(|lines| *lines > 0)
}

/// The machine's name up to the first dot.
pub(crate) fn host() -> String {
    let names = rustix::system::uname();
    let name = names.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
