//! What is set on a socket for one probe, and how it is put back.
//!
//! Nothing here allocates: the guard puts back in a process that was forked off one with threads.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt as options;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use sockpulse_core::Cookie;

/// With this idle time a probe leaves at the next tick.
const NOW: Duration = Duration::from_secs(1);
const HIGHEST_COUNT: u32 = 127;

/// A socket and what was set on it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) pid: u32,
    pub(super) fd: u32,
    pub(super) cookie: Cookie,
    pub(super) keepalive: bool,
    /// Seconds.
    pub(super) idle: u16,
    /// 0 where the count is not touched.
    pub(super) probes: u8,
    /// Milliseconds; 0 where there is none.
    pub(super) user_timeout: u32,
}

impl Saved {
    /// Makes the kernel probe. The order matters: the idle time is last, because it lets the probe go
    /// at once on a socket that has keepalive, and by then nothing may be left that could end the
    /// connection.
    pub(super) fn set(&self, socket: impl AsFd) -> Result<(), Errno> {
        let socket = socket.as_fd();
        if self.user_timeout != 0 {
            options::set_tcp_user_timeout(socket, 0)?;
        }
        if self.probes != 0 {
            options::set_tcp_keepcnt(socket, HIGHEST_COUNT)?;
        }
        if !self.keepalive {
            options::set_socket_keepalive(socket, true)?;
        }
        options::set_tcp_keepidle(socket, NOW)
    }

    /// Puts back what is still as it was set: what its program has set meanwhile stays. Keepalive goes
    /// first if it was off, so that no timer is armed again.
    pub(super) fn put_back(&self, socket: impl AsFd) -> Result<(), Errno> {
        let socket = socket.as_fd();
        if !self.keepalive {
            options::set_socket_keepalive(socket, false)?;
        }
        if options::tcp_keepidle(socket)? == NOW {
            options::set_tcp_keepidle(socket, Duration::from_secs(self.idle.into()))?;
        }
        if self.probes != 0 && options::tcp_keepcnt(socket)? == HIGHEST_COUNT {
            options::set_tcp_keepcnt(socket, self.probes.into())?;
        }
        if self.user_timeout != 0 && options::tcp_user_timeout(socket)? == 0 {
            options::set_tcp_user_timeout(socket, self.user_timeout)?;
        }
        Ok(())
    }

    /// Puts back through a descriptor that is borrowed for it. What is gone needs nothing.
    pub(super) fn put_back_there(&self) -> Result<(), Errno> {
        let raw = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(raw.ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
        let number = i32::try_from(self.fd).map_err(|_| Errno::BADF)?;
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
        if options::socket_cookie(&socket)? != self.cookie.0 {
            return Err(Errno::BADF);
        }
        self.put_back(&socket)
    }
}

/// A message to the guard: a number of 32 bits each, the cookie in two.
pub(super) const LENGTH: usize = 32;

/// To be remembered, or nothing any more.
pub(super) fn message(saved: Option<&Saved>) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let Some(saved) = saved else { return bytes };
    bytes[..8].copy_from_slice(&saved.cookie.0.to_ne_bytes());
    let words = [
        1,
        saved.pid,
        saved.fd,
        u32::from(saved.keepalive),
        u32::from(saved.idle) << 8 | u32::from(saved.probes),
        saved.user_timeout,
    ];
    for (to, word) in bytes[8..].chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

pub(super) fn understood(bytes: &[u8; LENGTH]) -> Option<Saved> {
    let word = |at: usize| {
        let four = bytes.get(8 + at * 4..).and_then(|rest| rest.first_chunk());
        four.map_or(0, |four| u32::from_ne_bytes(*four))
    };
    let cookie = bytes
        .first_chunk()
        .map(|eight| u64::from_ne_bytes(*eight))?;
    (word(0) == 1).then_some(())?;
    Some(Saved {
        pid: word(1),
        fd: word(2),
        cookie: Cookie(cookie),
        keepalive: word(3) != 0,
        idle: u16::try_from(word(4) >> 8).ok()?,
        probes: u8::try_from(word(4) & 0xff).ok()?,
        user_timeout: word(5),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: Saved = Saved {
        pid: 7,
        fd: 3,
        cookie: Cookie(0x0102_0304_0506_0708),
        keepalive: false,
        idle: 32_767,
        probes: 127,
        user_timeout: 2_147_483_647,
    };

    #[test]
    fn what_is_told_is_understood() {
        assert_eq!(understood(&message(Some(&SAVED))), Some(SAVED));
        assert_eq!(understood(&message(None)), None);
    }

    #[test]
    fn what_its_program_set_meanwhile_stays() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let saved = Saved {
            idle: 60,
            probes: 9,
            user_timeout: 5_000,
            ..SAVED
        };
        options::set_tcp_user_timeout(&socket, 5_000).unwrap();
        saved.set(&socket).unwrap();
        assert!(options::socket_keepalive(&socket).unwrap());
        assert_eq!(options::tcp_keepidle(&socket), Ok(NOW));
        assert_eq!(options::tcp_keepcnt(&socket), Ok(HIGHEST_COUNT));
        assert_eq!(options::tcp_user_timeout(&socket), Ok(0));
        options::set_tcp_keepidle(&socket, Duration::from_secs(33)).unwrap();
        saved.put_back(&socket).unwrap();
        assert!(!options::socket_keepalive(&socket).unwrap());
        assert_eq!(options::tcp_keepidle(&socket), Ok(Duration::from_secs(33)));
        assert_eq!(options::tcp_keepcnt(&socket), Ok(9));
        assert_eq!(options::tcp_user_timeout(&socket), Ok(5_000));
    }
}
