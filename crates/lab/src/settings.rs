//! The settings of a connection under test.

use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt as options;
use sockpulse_core::{Setting, SocketTimers, UserTimeout, human};

use crate::error::{Error, Result};

/// What the program under test sets on its socket. `None` leaves a value to the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`, seconds.
    pub idle: Option<u16>,
    /// `TCP_KEEPINTVL`, seconds.
    pub interval: Option<u16>,
    /// `TCP_KEEPCNT`.
    pub probes: Option<u8>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Timeout,
}

/// A user timeout in milliseconds; 0 is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeout(pub u32);

impl Settings {
    /// Nothing is set.
    pub const OFF: Self = Self {
        keepalive: false,
        idle: None,
        interval: None,
        probes: None,
        user_timeout: Timeout(0),
    };

    /// Keepalive is on, with the namespace's values.
    pub const INHERITED: Self = Self {
        keepalive: true,
        ..Self::OFF
    };

    /// Keepalive with values of its own.
    #[must_use]
    pub const fn own(idle: u16, interval: u16, probes: u8) -> Self {
        Self {
            keepalive: true,
            idle: Some(idle),
            interval: Some(interval),
            probes: Some(probes),
            user_timeout: Timeout(0),
        }
    }

    /// The same with a user timeout.
    #[must_use]
    pub const fn and(self, user_timeout_ms: u32) -> Self {
        Self {
            user_timeout: Timeout(user_timeout_ms),
            ..self
        }
    }

    /// The same for the model.
    #[must_use]
    pub fn timers(&self) -> SocketTimers {
        let own = |value: Option<u32>| value.map_or(Setting::Namespace, Setting::Socket);
        let user_timeout = UserTimeout::new(self.user_timeout.0.into());
        SocketTimers {
            keepalive: self.keepalive,
            idle: own(self.idle.map(u32::from)),
            interval: own(self.interval.map(u32::from)),
            probes: own(self.probes.map(u32::from)),
            user_timeout: user_timeout.unwrap_or(UserTimeout::MAX),
        }
    }

    /// Sets them, the switch last.
    pub(crate) fn apply(&self, socket: impl AsFd) -> Result<()> {
        self.set(socket)
            .map_err(Error::system("set socket options"))
    }

    fn set(&self, socket: impl AsFd) -> std::result::Result<(), Errno> {
        let socket = socket.as_fd();
        if let Some(seconds) = self.idle {
            options::set_tcp_keepidle(socket, Duration::from_secs(seconds.into()))?;
        }
        if let Some(seconds) = self.interval {
            options::set_tcp_keepintvl(socket, Duration::from_secs(seconds.into()))?;
        }
        if let Some(count) = self.probes {
            options::set_tcp_keepcnt(socket, count.into())?;
        }
        if self.user_timeout != Timeout::default() {
            options::set_tcp_user_timeout(socket, self.user_timeout.0)?;
        }
        if self.keepalive {
            options::set_socket_keepalive(socket, true)?;
        }
        Ok(())
    }
}

/// `2/1/3` for idle, interval and probes, `-` for one that is inherited, `off`; then the user timeout.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: Option<u32>| value.map_or("-".into(), |value| value.to_string());
        if self.keepalive {
            write!(
                f,
                "{}/{}/{}",
                shown(self.idle.map(u32::from)),
                shown(self.interval.map(u32::from)),
                shown(self.probes.map(u32::from))
            )?;
        } else {
            f.write_str("off")?;
        }
        match self.user_timeout {
            Timeout(0) => Ok(()),
            Timeout(ms) => write!(
                f,
                " user timeout {}",
                human(Duration::from_millis(ms.into()))
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_shortly() {
        assert_eq!(Settings::own(2, 1, 3).to_string(), "2/1/3");
        assert_eq!(Settings::OFF.to_string(), "off");
        assert_eq!(Settings::INHERITED.to_string(), "-/-/-");
        let with = Settings::own(2, 1, 3).and(3_000);
        assert_eq!(with.to_string(), "2/1/3 user timeout 3s");
    }

    #[test]
    fn what_is_set_is_what_the_model_gets() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings::own(61, 7, 5).and(1_500);
        settings.apply(&socket).unwrap();
        let read = sockpulse_linux::sockopt::settings(&socket).unwrap();
        assert_eq!(read.idle, Setting::Either(61));
        assert_eq!(settings.timers().idle, Setting::Socket(61));
        assert_eq!(read.user_timeout, settings.timers().user_timeout);
        assert!(read.keepalive);
    }
}
