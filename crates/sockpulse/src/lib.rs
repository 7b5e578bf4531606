//! TCP keepalive and the user timeout for a program's own sockets on Linux.
//!
//! Values are checked against the kernel's limits and never clamped; parts of a second round up;
//! an error names the option. Every socket that has [`AsFd`] will do: those of `std`, socket2, tokio
//! and others.
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! use sockpulse::Keepalive;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let connection = TcpStream::connect(listener.local_addr()?)?;
//!
//! Keepalive::new()
//!     .idle(Duration::from_secs(120))?
//!     .interval(Duration::from_secs(20))?
//!     .probes(5)?
//!     .user_timeout_auto()
//!     .apply(&connection)?;
//!
//! let in_force = sockpulse::read(&connection)?;
//! assert!(in_force.on);
//! assert_eq!(in_force.user_timeout, Some(Duration::from_secs(120 + 5 * 20)));
//! # Ok(())
//! # }
//! ```
//!
//! # Listeners
//!
//! Settings of a listener are inherited by every connection that it accepts from then on: applied
//! once, before `accept`, they also cover connections that nobody has accepted yet. Connections that
//! were there before keep theirs.
//!
//! ```
//! # use std::net::{TcpListener, TcpStream};
//! # use std::time::Duration;
//! # use sockpulse::Keepalive;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! Keepalive::new().idle(Duration::from_secs(60))?.apply(&listener)?;
//!
//! let _client = TcpStream::connect(listener.local_addr()?)?;
//! let (accepted, _) = listener.accept()?;
//! assert_eq!(sockpulse::read(&accepted)?.idle, Some(Duration::from_secs(60)));
//! # Ok(())
//! # }
//! ```

mod error;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

pub use error::{Error, Operation};
pub use sockpulse_core::{
    KeepCnt, KeepIdle, KeepIntvl, Settings, UserTimeout, UserTimeoutChoice, settings::OutOfRange,
};

/// What a call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Keepalive switched on, and what to set beside it. What is not chosen stays as the socket has it:
/// on a new one, the defaults of its network namespace (`net.ipv4.tcp_keepalive_*`) and no user
/// timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use = "nothing is set before `apply`"]
pub struct Keepalive {
    idle: Option<KeepIdle>,
    interval: Option<KeepIntvl>,
    probes: Option<KeepCnt>,
    user_timeout: Option<UserTimeoutChoice>,
}

/// What is in force on a socket: its own values, or those of its network namespace. getsockopt(2)
/// does not tell which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InForce {
    /// `SO_KEEPALIVE`.
    pub on: bool,
    /// Silence before the first probe; `None` when the namespace has a default that no socket could
    /// hold (zero or less).
    pub idle: Option<Duration>,
    /// Time between probes; `None` as for `idle`.
    pub interval: Option<Duration>,
    /// Unanswered probes before the connection is given up.
    pub probes: u32,
    /// How long sent data may stay unacknowledged; `None` for no limit of its own.
    pub user_timeout: Option<Duration>,
}

impl Keepalive {
    /// Keepalive on, nothing else chosen.
    pub const fn new() -> Self {
        Self {
            idle: None,
            interval: None,
            probes: None,
            user_timeout: None,
        }
    }

    /// Silence before the first probe: 1 to 32,767 s; parts of a second round up.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    #[doc(alias = "TCP_KEEPIDLE")]
    pub fn idle(self, idle: Duration) -> Result<Self> {
        let idle = Some(KeepIdle::from_duration(idle)?);
        Ok(Self { idle, ..self })
    }

    /// Time between probes: 1 to 32,767 s; parts of a second round up. An idle connection whose peer
    /// answers is probed every `idle` or every `interval`, whichever is longer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    #[doc(alias = "TCP_KEEPINTVL")]
    pub fn interval(self, interval: Duration) -> Result<Self> {
        let interval = Some(KeepIntvl::from_duration(interval)?);
        Ok(Self { interval, ..self })
    }

    /// Unanswered probes before the connection is given up: 1 to 127. The next operation on it then
    /// fails with `ETIMEDOUT`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn probes(self, probes: u32) -> Result<Self> {
        let probes = Some(KeepCnt::new(probes.into())?);
        Ok(Self { probes, ..self })
    }

    /// Also give up when sent data stays unacknowledged for so long: up to 2,147,483,647 ms, parts of
    /// a millisecond round up; zero is [`user_timeout_off`](Self::user_timeout_off).
    ///
    /// The kernel also uses it for probes, in place of their number: one that is shorter than
    /// `idle` + `interval` x `probes` cuts them short.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub fn user_timeout(self, timeout: Duration) -> Result<Self> {
        let timeout = UserTimeout::from_duration(timeout)?;
        Ok(self.choose(UserTimeoutChoice::Fixed(timeout)))
    }

    /// The user timeout becomes `idle` + `interval` x `probes`, as they are in force when this is
    /// applied: data in flight is then given up when an idle connection would be.
    pub const fn user_timeout_auto(self) -> Self {
        self.choose(UserTimeoutChoice::Auto)
    }

    /// Takes the user timeout away.
    pub const fn user_timeout_off(self) -> Self {
        self.choose(UserTimeoutChoice::Off)
    }

    const fn choose(self, choice: UserTimeoutChoice) -> Self {
        Self {
            user_timeout: Some(choice),
            ..self
        }
    }

    /// Sets it all on a TCP socket: a connection, a listener, or one that is to become either.
    ///
    /// `SO_KEEPALIVE` comes last, so that its timer is armed with the new values. When an option is
    /// refused, those before it stay set. On a connection that has keepalive on already, a new `idle`
    /// re-arms the timer at once; a new `interval` counts from the next probe on.
    ///
    /// No privilege is needed. Since Linux 2.6.37, where the user timeout was added.
    ///
    /// # Errors
    /// [`Error::System`] with the option, when this is no TCP socket; [`Error::OutOfRange`] when an
    /// automatic user timeout comes to more than the option takes.
    pub fn apply(&self, socket: impl AsFd) -> Result<()> {
        let socket = socket.as_fd();
        if let Some(idle) = self.idle {
            let idle = Duration::from_secs(idle.get().into());
            sockopt::set_tcp_keepidle(socket, idle).map_err(set("TCP_KEEPIDLE"))?;
        }
        if let Some(interval) = self.interval {
            let interval = Duration::from_secs(interval.get().into());
            sockopt::set_tcp_keepintvl(socket, interval).map_err(set("TCP_KEEPINTVL"))?;
        }
        if let Some(probes) = self.probes {
            sockopt::set_tcp_keepcnt(socket, probes.get().into()).map_err(set("TCP_KEEPCNT"))?;
        }
        if let Some(choice) = self.user_timeout {
            let timeout = match choice {
                UserTimeoutChoice::Auto => automatic(socket)?,
                UserTimeoutChoice::Off => UserTimeout::OFF,
                UserTimeoutChoice::Fixed(timeout) => timeout,
            };
            sockopt::set_tcp_user_timeout(socket, timeout.get())
                .map_err(set("TCP_USER_TIMEOUT"))?;
        }
        sockopt::set_socket_keepalive(socket, true).map_err(set("SO_KEEPALIVE"))
    }
}

impl From<Settings> for Keepalive {
    fn from(settings: Settings) -> Self {
        Self {
            idle: Some(settings.idle),
            interval: Some(settings.interval),
            probes: Some(settings.probes),
            user_timeout: Some(UserTimeoutChoice::Fixed(settings.user_timeout)),
        }
    }
}

/// What is in force on a TCP socket. Changes nothing.
///
/// # Errors
/// [`Error::System`] with the option, when this is no TCP socket.
pub fn read(socket: impl AsFd) -> Result<InForce> {
    let socket = socket.as_fd();
    let timeout = sockopt::tcp_user_timeout(socket).map_err(got("TCP_USER_TIMEOUT"))?;
    Ok(InForce {
        on: sockopt::socket_keepalive(socket).map_err(got("SO_KEEPALIVE"))?,
        idle: positive(sockopt::tcp_keepidle(socket).map_err(got("TCP_KEEPIDLE"))?),
        interval: positive(sockopt::tcp_keepintvl(socket).map_err(got("TCP_KEEPINTVL"))?),
        probes: sockopt::tcp_keepcnt(socket).map_err(got("TCP_KEEPCNT"))?,
        user_timeout: (timeout > 0).then(|| Duration::from_millis(timeout.into())),
    })
}

/// Switches keepalive off; the other values stay for the next time.
///
/// # Errors
/// [`Error::System`] when this is no socket.
pub fn switch_off(socket: impl AsFd) -> Result<()> {
    sockopt::set_socket_keepalive(socket, false).map_err(set("SO_KEEPALIVE"))
}

/// `idle` + `interval` x `probes` as they are in force.
fn automatic(socket: BorrowedFd<'_>) -> Result<UserTimeout> {
    let in_force = read(socket)?;
    let zero = Duration::ZERO;
    let probing = in_force
        .interval
        .unwrap_or(zero)
        .saturating_mul(in_force.probes);
    let all = in_force.idle.unwrap_or(zero).saturating_add(probing);
    Ok(UserTimeout::from_duration(all)?)
}

/// The options are C's int, which arrives as an unsigned number of seconds.
fn positive(seconds: Duration) -> Option<Duration> {
    let max = Duration::from_secs(i32::MAX.unsigned_abs().into());
    (seconds > Duration::ZERO && seconds <= max).then_some(seconds)
}

fn set(option: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(Operation::Set, option, errno)
}

fn got(option: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(Operation::Read, option, errno)
}

#[cfg(test)]
mod tests;
