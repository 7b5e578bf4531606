//! `run`: becomes a program whose TCP sockets have keepalive.

pub(crate) mod args;
mod method;
mod preload;
mod program;

use std::ffi::OsStr;

use rustix::io::Errno;
use sockpulse_core::UserTimeoutChoice;
use sockpulse_linux::{exec, opening};
use sockpulse_preload::{List, Request, UserTimeout};

use crate::error::{CommandError, ErrorKind, Exit};
use crate::run::args::RunArgs;
use crate::run::program::Program;

/// Becomes the program; returns only with what kept it from that.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, CommandError> {
    let request = request(args)?;
    let [name, arguments @ ..] = &args.program[..] else {
        return Err(CommandError::new(ErrorKind::Usage, "a program is missing"));
    };
    let program = Program::find(name).map_err(|errno| not_started(name, errno))?;
    let sockets = opening::settle_inherited(&request);
    if sockets > 0 {
        tracing::info!("set keepalive on TCP sockets that the program starts with: {sockets}");
    }
    method::apply(args.method, &request, &program)?;
    Err(not_started(name, exec::replace(name, arguments)))
}

/// The arguments as both methods take them.
fn request(args: &RunArgs) -> Result<Request, CommandError> {
    let settings = &args.settings;
    Ok(Request {
        idle: settings.idle.map(|idle| idle.get()),
        interval: settings.interval.map(|interval| interval.get()),
        probes: settings.probes.map(|probes| probes.get()),
        user_timeout: settings.user_timeout.map(|choice| match choice {
            UserTimeoutChoice::Auto => UserTimeout::Auto,
            UserTimeoutChoice::Off => UserTimeout::Off,
            UserTimeoutChoice::Fixed(timeout) => UserTimeout::Milliseconds(timeout.get()),
        }),
        mode: args.mode,
        locals: list(&args.local, "--local")?,
        remotes: list(&args.remote, "--remote")?,
        ports: list(&args.port, "--port")?,
    })
}

fn list<T: Copy>(values: &[T], option: &str) -> Result<List<T>, CommandError> {
    let mut list = List::default();
    for value in values {
        list.push(*value).map_err(|_| {
            let most = sockpulse_preload::CAPACITY;
            CommandError::new(
                ErrorKind::Usage,
                format!("{option} is taken {most} times at most"),
            )
        })?;
    }
    Ok(list)
}

/// As env(1) and its like tell it.
fn not_started(name: &OsStr, errno: Errno) -> CommandError {
    let kind = match errno {
        Errno::NOENT | Errno::NOTDIR => ErrorKind::NotFound,
        _ => ErrorKind::NotExecutable,
    };
    let what = format!("failed to start {}", name.display());
    CommandError::new(kind, NotStarted { what, errno })
}

#[derive(Debug)]
struct NotStarted {
    what: String,
    errno: Errno,
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NotStarted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}
