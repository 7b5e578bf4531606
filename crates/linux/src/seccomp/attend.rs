//! One held call: finds the socket that it names, sets the options, and says how to go on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use libc::{c_int, c_long, seccomp_notif};
use rustix::fs::{Stat, stat};
use rustix::io::Errno;
use sockpulse_preload::Request;

use super::borrow::{Lender, Loan};
use super::call::{Call, MULTIPLEXED, is_of_keepalive, named};
use super::filter::PROTOCOLS;
use super::sys;
use crate::opening::{Setter, is_meant, is_tcp};
use crate::raw;

/// How a held call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The kernel does it, as if it had never been held.
    Continue,
    /// It was done: this is its result.
    Result(i64),
    /// It has been answered.
    Sent,
}

/// Looks at held calls.
pub(super) struct Attendant<'a> {
    listener: BorrowedFd<'a>,
    request: &'a Request,
    lender: Lender,
    setter: Setter,
    /// Who the supervisor is: it may make sockets only for its like.
    own: Option<Identity>,
}

/// What a socket belongs to by whoever makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    netns: (u64, u64),
    user: u32,
}

impl<'a> Attendant<'a> {
    /// An attendant that has seen nothing yet.
    pub(super) fn new(listener: BorrowedFd<'a>, request: &'a Request) -> Self {
        Self {
            listener,
            request,
            lender: Lender::new(),
            setter: Setter::new(),
            own: identity("self"),
        }
    }

    /// Does for one call what is to be done before it goes on. Whatever fails, the call goes on.
    pub(super) fn attend(&mut self, held: &seccomp_notif) -> Reply {
        let Some((call, args)) = self.call(held) else {
            return Reply::Continue;
        };
        match call {
            Call::Connect => {
                let remote = if !self.request.is_selective() {
                    None
                } else {
                    address(held.pid, args[1], args[2])
                };
                self.open(held, args[0], remote)
            }
            Call::Listen => self.open(held, args[0], None),
            Call::SetOption => self.replace(held, args),
            Call::Socket => self.make(held, args),
            Call::Multiplexed => Reply::Continue,
        }
    }

    fn call(&self, held: &seccomp_notif) -> Option<(Call, [u64; 5])> {
        let [a, b, c, d, e, _] = held.data.args;
        match named(held.data.arch, c_long::from(held.data.nr))? {
            Call::Multiplexed => {
                let mut numbers = MULTIPLEXED.iter();
                let (_, call) =
                    numbers.find(|(number, _)| u64::from(*number) == a & 0xffff_ffff)?;
                Some((*call, multiplexed(held.pid, b)?))
            }
            call => Some((call, [a, b, c, d, e])),
        }
    }

    fn open(&mut self, held: &seccomp_notif, fd: u64, remote: Option<SocketAddr>) -> Reply {
        if let Some(loan) = self.borrow(held, fd)
            && is_meant(self.request, loan.socket(), remote)
        {
            self.setter.settle(loan.socket(), self.request);
        }
        Reply::Continue
    }

    /// The TCP socket that the call names. The process is looked up by its number, so that only
    /// when it turns out to be waiting still, it is known to be the one that called.
    fn borrow(&mut self, held: &seccomp_notif, fd: u64) -> Option<Loan> {
        let loan = self.lender.borrow(held.pid, int(fd))?;
        (is_tcp(loan.socket()) && sys::is_waiting(self.listener, held.id)).then_some(loan)
    }

    /// Sets the program's option for it, and then what is wanted: the program sees success.
    fn replace(&mut self, held: &seccomp_notif, args: [u64; 5]) -> Reply {
        let [fd, level, name, address, length] = args;
        // What socketcall(2) points to no filter has seen, and others need rights that we may have and
        // the program not.
        if !is_of_keepalive(int(level), int(name)) {
            return Reply::Continue;
        }
        let mut value = [0; 4];
        // What is shorter or elsewhere the kernel refuses in its own words.
        if int(length) < 4 || sys::peek(held.pid, address, &mut value) != Ok(4) {
            return Reply::Continue;
        }
        let Some(loan) = self.borrow(held, fd) else {
            return Reply::Continue;
        };
        let socket = loan.socket();
        let value = i32::from_ne_bytes(value);
        if !is_meant(self.request, socket, None)
            || raw::set_option(socket, int(level), int(name), value).is_err()
        {
            return Reply::Continue;
        }
        self.setter.settle(socket, self.request);
        Reply::Result(0)
    }

    /// Makes the socket in the program's place: it belongs to the supervisor's user and network
    /// namespace, so only where the program has the same.
    fn make(&mut self, held: &seccomp_notif, args: [u64; 5]) -> Reply {
        let [domain, kind, protocol, ..] = args.map(int);
        let wanted = (kind & 0xf) == libc::SOCK_STREAM
            && [libc::AF_INET, libc::AF_INET6].contains(&domain)
            && PROTOCOLS.contains(&protocol);
        if !wanted || self.own.is_none() || identity(&held.pid.to_string()) != self.own {
            return Reply::Continue;
        }
        let Ok(socket) = sys::socket(domain, kind, protocol) else {
            return Reply::Continue;
        };
        self.setter.settle(socket.as_fd(), self.request);
        match sys::add(
            self.listener,
            held.id,
            socket.as_fd(),
            kind & libc::SOCK_CLOEXEC,
        ) {
            Ok(sys::Added::Answered) => Reply::Sent,
            Ok(sys::Added::Number(number)) => Reply::Result(number.into()),
            Err(_) => Reply::Continue,
        }
    }
}

/// The low half is what the kernel reads of an int.
#[expect(clippy::cast_possible_truncation, reason = "as the kernel does")]
const fn int(argument: u64) -> c_int {
    (argument as u32).cast_signed()
}

/// The arguments that socketcall(2) points to: five words, of which calls may have fewer.
fn multiplexed(pid: u32, address: u64) -> Option<[u64; 5]> {
    let mut bytes = [0; 20];
    // As many as there are before memory ends.
    let read = sys::peek(pid, address & 0xffff_ffff, &mut bytes).ok()?;
    if read < 8 {
        return None;
    }
    let mut args = [0; 5];
    for (arg, word) in args.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *arg = u32::from_ne_bytes(*word).into();
    }
    Some(args)
}

/// An address that a program passes to connect(2).
fn address(pid: u32, address: u64, length: u64) -> Option<SocketAddr> {
    let mut bytes = [0; 28];
    let length = usize::try_from(length & 0xffff_ffff).ok()?.min(bytes.len());
    let read = sys::peek(pid, address, bytes.get_mut(..length)?).ok()?;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let addr: IpAddr = match c_int::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
        libc::AF_INET if read >= 16 => {
            Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[4..8]).ok()?).into()
        }
        libc::AF_INET6 if read >= 24 => {
            Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24]).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(addr, port))
}

/// Whose sockets a process makes. Its folder in /proc belongs to its effective user, or to root where
/// it may not be traced.
fn identity(process: &str) -> Option<Identity> {
    let folder = format!("/proc/{process}");
    let netns = stat(format!("{folder}/ns/net")).ok()?;
    let Stat { st_dev, st_ino, .. } = netns;
    let user = stat(folder).map_err(|_: Errno| ()).ok()?.st_uid;
    Some(Identity {
        netns: (st_dev, st_ino),
        user,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_memory() {
        let v4: [u8; 16] = [2, 0, 0x1f, 0x90, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0];
        let read = |bytes: &[u8]| {
            let at = u64::try_from(bytes.as_ptr().expose_provenance()).unwrap();
            address(std::process::id(), at, u64::try_from(bytes.len()).unwrap())
        };
        let end = read(&v4).unwrap();
        assert_eq!(end.to_string(), "10.1.2.3:8080");
        assert_eq!(read(&v4[..8]), None);
        let mut v6 = [0; 28];
        v6[..4].copy_from_slice(&[10, 0, 0, 80]);
        v6[23] = 1;
        assert_eq!(read(&v6).unwrap().to_string(), "[::1]:80");
        assert_eq!(address(std::process::id(), 8, 16), None);
    }
}
