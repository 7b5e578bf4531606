//! The binary `sockpulse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sockpulse_cli::main()
}
