//! Bare dumps: what a reading costs that joins, judges and formats nothing.

use std::ops::ControlFlow;
use std::process::ExitCode;

use sockpulse_bpf::{Counting, RiskAccepted, TaskFile, records, risk};
use sockpulse_core::Family;
use sockpulse_linux::sock_diag::{DumpEnd, Query, Socket, States, TcpInfo, messages};

use crate::error::{Error, Result};

/// What one read of a BPF iterator or of sock_diag returns at most.
const BUFFER: usize = 32 << 10;

/// Dumps once and prints how many sockets were shown.
pub(super) fn run(kind: &str) -> Result<ExitCode> {
    let sockets = match kind {
        "task-file" => task_file(),
        "sock-diag" => sock_diag(),
        "count" => count(),
        _ => return Err(Error::UnknownCommand(format!("bench floor {kind}"))),
    }
    .map_err(|error| Error::Floor(kind.to_owned(), error))?;
    println!("{sockets}");
    Ok(ExitCode::SUCCESS)
}

type Dump = std::result::Result<usize, Box<dyn std::error::Error>>;

fn task_file() -> Dump {
    let mut reader = TaskFile::load()?.open(None)?;
    let mut buffer = vec![0; BUFFER];
    let mut sockets = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(sockets),
            length => sockets += records(&buffer[..length]).len(),
        }
    }
}

fn sock_diag() -> Dump {
    let mut socket = Socket::open()?;
    let mut sockets = 0;
    for family in [Family::Ipv4, Family::Ipv6] {
        let query = Query {
            family,
            states: States::ALL,
            info: TcpInfo::Without,
        };
        let end = socket.dump(&query, |batch| {
            sockets += messages(batch).count();
            ControlFlow::Continue(())
        })?;
        if end != DumpEnd::Complete {
            return Err("the kernel's table changed during the dump".into());
        }
    }
    Ok(sockets)
}

/// Nothing connects in the benchmark's namespaces while it measures, so that the iterator's fault
/// has nothing to meet there.
fn count() -> Dump {
    let accepted = RiskAccepted::named(risk::TCP_ITERATOR.id)?;
    Ok(usize::try_from(Counting::iter_tcp(accepted)?.run()?)?)
}
