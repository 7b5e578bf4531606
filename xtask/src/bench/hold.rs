//! A process that holds connections: both ends of each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};

/// Descriptors that are not ends of connections: the standard ones, the listener, some spare.
const SPARE: u64 = 32;

/// How many connections one process may hold.
pub(super) fn per_process() -> u32 {
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
    u32::try_from(descriptors.saturating_sub(SPARE) / 2)
        .unwrap_or(u32::MAX)
        // Every process connects to an address of its own, which has 28,232 ports by default.
        .min(25_000)
}

/// Opens `count` connections to an address that belongs to `index`, says on stdout how many there
/// are, and holds them until stdin ends.
pub(super) fn run(index: u32, count: u32) -> Result<ExitCode> {
    raise_descriptor_limit()?;
    let listener = TcpListener::bind(SocketAddrV4::new(address(index), 5000))
        .map_err(Error::system("listen on a loopback address"))?;
    let mut held = Vec::new();
    let opened = open(&listener, count, &mut held);
    let connections = held.len() / 2;
    println!("{connections}");
    std::io::stdout()
        .flush()
        .map_err(Error::system("report to the parent"))?;
    if let Err(error) = opened {
        eprintln!("note: holder {index} stopped at {connections} connections: {error}");
    }
    // The parent writes nothing: this waits for its end.
    let _ = std::io::stdin().read(&mut [0]);
    Ok(ExitCode::SUCCESS)
}

fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).map_err(Error::system("raise the descriptor limit"))
}

fn open(listener: &TcpListener, count: u32, held: &mut Vec<OwnedFd>) -> std::io::Result<()> {
    let server = listener.local_addr()?;
    for _ in 0..count {
        let client = TcpStream::connect(server)?;
        let (accepted, _) = listener.accept()?;
        // Closed by a RST: no TIME-WAIT is left behind.
        set_socket_linger(client.as_fd(), Some(Duration::ZERO))?;
        set_socket_linger(accepted.as_fd(), Some(Duration::ZERO))?;
        held.extend([client.into(), accepted.into()]);
    }
    Ok(())
}

/// `127.1.0.1` and on: every address has its own 28,232 ports.
fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holder_has_an_address_of_its_own() {
        assert_eq!(address(0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(address(255), Ipv4Addr::new(127, 1, 1, 0));
        assert!(address(65_000).is_loopback());
    }
}
