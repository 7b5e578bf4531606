//! The socket options of keepalive, one function each, as tcp(7) and socket(7) describe them.
//!
//! Reading them changes nothing. `SO_ERROR` is deliberately missing: reading it takes the pending
//! error away from the program that owns the socket, which then sees a clean end of the stream.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::sockopt as options;
use sockpulse_core::{Cookie, KeepCnt, KeepIdle, KeepIntvl, Setting, SocketTimers, UserTimeout};

use crate::error::{Error, Operation, Result};

/// Whether keepalive is on.
///
/// # Errors
/// [`Error::System`] when the descriptor is no socket.
#[doc(alias = "SO_KEEPALIVE")]
pub fn keepalive(fd: impl AsFd) -> Result<bool> {
    options::socket_keepalive(fd).map_err(failed("SO_KEEPALIVE"))
}

/// Seconds of silence before the first probe: the socket's own value, or the namespace's when it has
/// none. The namespace may hold values that no socket option accepts, negative ones too.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
#[doc(alias = "TCP_KEEPIDLE")]
pub fn keep_idle(fd: impl AsFd) -> Result<i64> {
    let idle = options::tcp_keepidle(fd).map_err(failed("TCP_KEEPIDLE"))?;
    Ok(signed(idle.as_secs()))
}

/// Seconds between probes: the socket's own value or the namespace's.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
#[doc(alias = "TCP_KEEPINTVL")]
pub fn keep_intvl(fd: impl AsFd) -> Result<i64> {
    let interval = options::tcp_keepintvl(fd).map_err(failed("TCP_KEEPINTVL"))?;
    Ok(signed(interval.as_secs()))
}

/// Unanswered probes before the connection is given up: the socket's own value or the namespace's.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
#[doc(alias = "TCP_KEEPCNT")]
pub fn keep_cnt(fd: impl AsFd) -> Result<i64> {
    let probes = options::tcp_keepcnt(fd).map_err(failed("TCP_KEEPCNT"))?;
    Ok(signed(probes.into()))
}

/// The user timeout.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
#[doc(alias = "TCP_USER_TIMEOUT")]
pub fn user_timeout(fd: impl AsFd) -> Result<UserTimeout> {
    let millis = options::tcp_user_timeout(fd).map_err(failed("TCP_USER_TIMEOUT"))?;
    UserTimeout::new(millis.into()).map_err(|_| Error::Malformed {
        object: "TCP_USER_TIMEOUT".into(),
    })
}

/// The socket's identity, the same number that inet_diag and BPF tell. Since 4.12.
///
/// # Errors
/// [`Error::System`] when the descriptor is no socket.
#[doc(alias = "SO_COOKIE")]
pub fn cookie(fd: impl AsFd) -> Result<Cookie> {
    let cookie = options::socket_cookie(fd).map_err(failed("SO_COOKIE"))?;
    Ok(Cookie(cookie))
}

/// Whether it is a Multipath TCP connection, whose subflows are TCP sockets without a descriptor.
///
/// # Errors
/// [`Error::System`] when the descriptor is no socket.
#[doc(alias = "SO_PROTOCOL")]
pub fn is_mptcp(fd: impl AsFd) -> Result<bool> {
    let protocol = options::socket_protocol(fd).map_err(failed("SO_PROTOCOL"))?;
    Ok(protocol == Some(rustix::net::ipproto::MPTCP))
}

/// All keepalive settings of a socket. getsockopt(2) answers alike for a value of the socket's own
/// and for an inherited one ([`Setting::Either`]), except where the value is one that no socket can
/// hold.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
pub fn settings(fd: impl AsFd) -> Result<SocketTimers> {
    let fd = fd.as_fd();
    Ok(SocketTimers {
        keepalive: keepalive(fd)?,
        idle: either(keep_idle(fd)?, KeepIdle::MAX.get().into()),
        interval: either(keep_intvl(fd)?, KeepIntvl::MAX.get().into()),
        probes: either(keep_cnt(fd)?, KeepCnt::MAX.get().into()),
        user_timeout: user_timeout(fd)?,
    })
}

/// A value outside of 1..=max cannot have been set on the socket.
fn either(value: i64, max: i64) -> Setting<u32> {
    match u32::try_from(value) {
        Ok(own) if (1..=max).contains(&value) => Setting::Either(own),
        _ => Setting::Namespace,
    }
}

/// The options are C's int, which arrives here as an unsigned number.
fn signed(value: u64) -> i64 {
    u32::try_from(value).map_or(i64::MAX, |value| i64::from(value.cast_signed()))
}

fn failed(option: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(Operation::ReadOption, option, errno)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_set_is_read_back() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = settings(&socket).unwrap();
        assert!(!before.keepalive);
        assert_eq!(before.user_timeout, UserTimeout::OFF);
        options::set_socket_keepalive(&socket, true).unwrap();
        options::set_tcp_keepidle(&socket, Duration::from_secs(61)).unwrap();
        options::set_tcp_keepintvl(&socket, Duration::from_secs(32_767)).unwrap();
        options::set_tcp_keepcnt(&socket, 127).unwrap();
        options::set_tcp_user_timeout(&socket, 2_147_483_647).unwrap();
        assert_eq!(
            settings(&socket).unwrap(),
            SocketTimers {
                keepalive: true,
                idle: Setting::Either(61),
                interval: Setting::Either(32_767),
                probes: Setting::Either(127),
                user_timeout: UserTimeout::MAX,
            }
        );
        assert_ne!(cookie(&socket).unwrap(), Cookie(0));
        assert!(!is_mptcp(&socket).unwrap());
    }

    #[test]
    fn values_that_no_socket_can_hold_are_the_namespaces() {
        assert_eq!(either(0, 32_767), Setting::Namespace);
        assert_eq!(either(-1, 32_767), Setting::Namespace);
        assert_eq!(either(32_768, 32_767), Setting::Namespace);
        assert_eq!(either(32_767, 32_767), Setting::Either(32_767));
        assert_eq!(signed(u32::MAX.into()), -1);
    }

    #[test]
    fn other_sockets_have_no_such_options() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = settings(&socket).unwrap_err();
        assert_eq!(error.to_string(), "read option TCP_KEEPIDLE");
    }
}
