//! From the words of the command line to an exit status.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::args::{Cli, Command, DoctorArgs, GlobalArgs, with_default_command};
use crate::error::{BUG_STATUS, CommandError, ErrorKind, Exit};
use crate::machine::Machine;
use crate::options::{DoctorOptions, OutputFormat};
use crate::terminal::{self, Palette};
use crate::{
    append, audit, defaults, explain, generate, lab, list, ping, plan, protect, reap, run as start,
    stdout, watch,
};

/// How output is to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Face {
    /// The format.
    pub(crate) output: OutputFormat,
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Lines of the terminal; `None` where nothing scrolls away.
    pub(crate) height: Option<usize>,
    /// Colours of stdout.
    pub(crate) palette: Palette,
}

/// The definition of the command line.
#[must_use]
pub fn command() -> clap::Command {
    let mut root = Cli::command();
    let output = root.get_arguments().find(|arg| arg.get_id() == "output");
    if let Some(output) = output.cloned().map(|output| output.hide(true)) {
        // These print text only: the option is understood, to be refused with a reason.
        for name in TEXT_ONLY {
            root = root.mut_subcommand(name, |command| command.arg(output.clone()));
        }
    }
    root
}

/// Commands that have one format.
const TEXT_ONLY: [&str; 3] = ["completions", "man", "run"];

/// The binary: standard streams, this machine, and a panic that is told as the bug that it is.
#[must_use]
pub fn main() -> ExitCode {
    tell_panics();
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut out: Box<dyn Write> = match stdout::open() {
        Ok(out) => Box::new(out),
        // The program that it starts may well do without.
        Err(_) if starts_a_program(&words) => Box::new(io::sink()),
        Err(error) => {
            let error =
                CommandError::output(error).hint("open standard output: > FILE, or > /dev/null");
            tell(&error, anstream::ColorChoice::Auto, &mut io::stderr());
            return error.status().into();
        }
    };
    run(words, &Machine::THIS, &mut out, &mut io::stderr()).into()
}

fn starts_a_program(words: &[OsString]) -> bool {
    let mut words = words.iter().skip(1);
    let command = words.find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    command.is_some_and(|command| command == "run")
}

/// A panic is a bug: says so, in whichever thread, and ends the process with status 70.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(
            io::stderr(),
            "error: sockpulse has a bug: {panic}\n\
             hint: please report it with this text, the command and the output of `sockpulse doctor`"
        );
        std::process::exit(i32::from(BUG_STATUS));
    }));
}

/// Runs a command line. All data goes to `out`, all else to `stderr`.
#[must_use]
pub fn run(
    words: Vec<OsString>,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let matches = match command().try_get_matches_from(with_default_command(words)) {
        Ok(matches) => matches,
        Err(error) => return refuse(&error, out, stderr),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, out, stderr),
    };
    trace(cli.global.verbose, cli.global.color);
    match dispatch(&cli, machine, out, stderr) {
        Ok(exit) => exit.status(),
        Err(error) => {
            tell(&error, cli.global.color, stderr);
            error.status()
        }
    }
}

fn dispatch(
    cli: &Cli,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let face = face(&cli.global);
    if let Command::Completions(_) | Command::Man(_) | Command::Run(_) = &cli.command
        && face.output != OutputFormat::Table
    {
        let refusal = "completions, man and run have no other format";
        return Err(CommandError::new(ErrorKind::Usage, refusal).hint("leave --output out"));
    }
    match &cli.command {
        Command::Audit(args) => audit::run(args, &face, machine, out, stderr),
        Command::List(args) => list::run(args, &face, machine, out, stderr),
        Command::Defaults(args) => defaults::run(args, &face, machine, out, stderr),
        Command::Ping(args) => ping::run(args, &face, machine, out, stderr),
        Command::Reap(args) => reap::run(args, &face, machine, out, stderr),
        Command::Protect(args) => protect::run(args, &face, machine, out, stderr),
        Command::Unprotect(args) => protect::end(args, &face, machine, out, stderr),
        Command::Undo(args) => defaults::undo(args, &face, machine, out, stderr),
        Command::Run(args) => start::run(args),
        Command::Watch(args) => watch::run(args, &face, machine, out, stderr),
        Command::Lab(args) => lab::run_command(args, &face, out),
        Command::Doctor(args) => doctor(args, &face, machine, out),
        Command::Explain(args) => explain::run(args, &face, machine, out, stderr),
        Command::Plan(args) => plan::run(args, &face, machine, out, stderr),
        Command::Completions(args) => generate::completions(args.shell, out),
        Command::Man(args) => generate::man(args.command.as_deref(), out),
    }
}

fn doctor(
    args: &DoctorArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let options = DoctorOptions {
        output: face.output,
        width: face.width,
        accepted_risks: args.accept_kernel_risk.clone(),
    };
    (machine.doctor)(&options, out)
}

fn face(global: &GlobalArgs) -> Face {
    Face {
        output: global.output,
        width: terminal::width(),
        height: terminal::height(),
        palette: Palette::of_stdout(global.color),
    }
}

/// Prints what clap has to say: help and version on stdout, refusals on stderr.
fn refuse(error: &clap::Error, out: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    let text = error.render();
    let written = if error.use_stderr() {
        let auto = anstream::AutoStream::choice(&std::io::stderr());
        styled(&text, auto).and_then(|text| stderr.write_all(&text))
    } else {
        let auto = anstream::AutoStream::choice(&std::io::stdout());
        styled(&text, auto).and_then(|text| out.write_all(&text))
    };
    if let Some(command) = late_command(error) {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(stderr, "hint: put the command first: sockpulse {command} …");
    }
    match written {
        Ok(()) => u8::try_from(error.exit_code()).unwrap_or(2),
        Err(error) => CommandError::output(error).status(),
    }
}

/// A command that stands behind options was taken for a word of `audit`, the default.
fn late_command(error: &clap::Error) -> Option<&str> {
    use clap::error::{ContextKind, ContextValue};
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => command()
            .find_subcommand(word)
            .is_some()
            .then_some(word.as_str()),
        _ => None,
    }
}

fn styled(
    text: &clap::builder::StyledStr,
    choice: anstream::ColorChoice,
) -> std::io::Result<Vec<u8>> {
    let mut stream = anstream::AutoStream::new(Vec::new(), choice);
    write!(stream, "{}", text.ansi())?;
    Ok(stream.into_inner())
}

/// Prints a failure and what would help.
fn tell(error: &CommandError, color: anstream::ColorChoice, stderr: &mut dyn Write) {
    if error.is_broken_pipe() {
        return;
    }
    let palette = Palette::of_stderr(color);
    let mut text = Vec::new();
    palette.paint(&mut text, terminal::BAD.bold(), b"error:");
    text.extend_from_slice(format!(" {}\n", obeyed_by_none(&error.to_string())).as_bytes());
    for hint in error.hints() {
        palette.paint(&mut text, terminal::COMMAND, b"hint:");
        text.extend_from_slice(format!(" {}\n", obeyed_by_none(hint)).as_bytes());
    }
    // There is nowhere to say that stderr is closed.
    let _ = stderr.write_all(&text);
}

/// An error may quote a name from outside, which must not steer the terminal.
fn obeyed_by_none(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if append::misleading(c) && c != '\n' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Sends what is being done to stderr. Setting it up twice, as tests do, keeps the first.
fn trace(verbose: u8, color: anstream::ColorChoice) {
    let ansi = Palette::of_stderr(color) == Palette::Ansi;
    let _ = tracing::subscriber::set_global_default(tracer(verbose, ansi, io::stderr));
}

fn tracer<W>(verbose: u8, ansi: bool, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Our own crates first; what libraries, libbpf above all, have to say is much and rarely wanted.
    let (ours, others) = match verbose {
        0 => (LevelFilter::WARN, LevelFilter::WARN),
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        2 => (LevelFilter::DEBUG, LevelFilter::DEBUG),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let wanted = Targets::new()
        .with_default(others)
        .with_target("sockpulse", ours);
    tracing_subscriber::fmt()
        .with_max_level(ours)
        .with_writer(writer)
        .with_ansi(ansi)
        .without_time()
        .with_target(verbose > 1)
        .finish()
        .with(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn traced(verbose: u8, ansi: bool) -> String {
        let shared = Shared::default();
        let writer = shared.clone();
        let tracer = tracer(verbose, ansi, move || writer.clone());
        tracing::subscriber::with_default(tracer, || {
            tracing::info!(target: "sockpulse_cli::survey", "our step");
            tracing::debug!(target: "sockpulse_linux", "our detail");
            tracing::info!(target: "libbpf", "its step");
            tracing::debug!(target: "libbpf", "its detail");
        });
        let bytes = shared.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn more_is_said_step_by_step() {
        for (verbose, said) in [
            (0, &[][..]),
            (1, &["our step"]),
            (2, &["our step", "our detail", "its step", "its detail"]),
        ] {
            let text = traced(verbose, false);
            assert_eq!(text.lines().count(), said.len(), "{text}");
            for what in said {
                assert!(text.contains(what), "{text}");
            }
        }
    }

    #[test]
    fn steps_are_coloured_where_that_is_wanted() {
        assert!(!traced(2, false).contains('\u{1b}'));
        assert!(traced(2, true).contains('\u{1b}'));
    }
}
