//! The project's own commands: `cargo xtask COMMAND`.
//!
//! Nothing here links the product unless the feature `product` is on, so that `cargo xtask demo`
//! and `cargo xtask test` start on a machine that has only Rust, and install the rest themselves.

mod architecture;
mod demo;
#[cfg(test)]
mod documents;
mod error;
mod interrupt;
mod linked;
mod process;
mod setup;
mod test;
mod topology;

#[cfg(feature = "product")]
mod bench;
#[cfg(feature = "product")]
mod evidence;
#[cfg(feature = "product")]
mod generate;
#[cfg(feature = "product")]
mod soak;

use std::process::ExitCode;

use error::{Error, Result};
use interrupt::Interrupt;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo                what sockpulse is for, on real input: hosts that vanish behind a router
  test                format, lints, architecture, generated files and every test
  setup               names and installs what the build and the tests need and is missing
  generate [--check]  writes (or checks) the reference pages, man pages and completions
  evidence            runs the whole lab, a quarter of an hour, and writes docs/evidence.md
  bench list          measures reading against ss; needs root and memory
  bench apply         measures setting open sockets, in both ways; needs root
  bench connect       measures what rules for connections to come cost one; needs root
  soak                asks the living and the dead in 20 rounds, writes docs/soak.md; needs root
  bench run           measures what sockpulse run costs a connection
  bench watch         measures what a watcher costs a connection, and how late it tells; needs root
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: failed to {error}");
            for hint in error.hints() {
                eprintln!("hint: {hint}");
            }
            error.exit_code()
        }
    }
}

fn dispatch(words: &[&str]) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let result = command(words, &interrupt);
    // A program that ended by our Ctrl-C did not fail by itself.
    if result.is_err() {
        interrupt.check()?;
    }
    result
}

fn command(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    match words {
        ["demo"] => demo::run(interrupt),
        [demo::SCENARIO] => demo::scenario_in_user_namespace(interrupt),
        [demo::CLIENT, rest @ ..] => demo::client(rest, interrupt),
        ["test"] => test::run(interrupt),
        ["setup"] => setup::all(interrupt).map(|()| ExitCode::SUCCESS),
        ["generate" | "bench" | "evidence" | "soak", ..] if cfg!(not(feature = "product")) => {
            linked::run(words, interrupt)
        }
        #[cfg(feature = "product")]
        ["evidence", rest @ ..] => evidence::run(rest, interrupt),
        #[cfg(feature = "product")]
        ["bench", rest @ ..] => bench::run(rest, interrupt),
        #[cfg(feature = "product")]
        ["soak", rest @ ..] => soak::run(rest, interrupt),
        #[cfg(feature = "product")]
        [soak::OWNER, rest @ ..] => soak::owner(rest),
        #[cfg(feature = "product")]
        [soak::PEER, rest @ ..] => soak::peer(rest),
        #[cfg(feature = "product")]
        ["generate", rest @ ..] => generate::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{USAGE}");
            Err(Error::UnknownCommand(words.join(" ")))
        }
    }
}
