//! What is wanted, and its form in an environment variable.

use core::fmt;
use core::net::SocketAddr;

use crate::duration::milliseconds;
use crate::pattern::{List, Pattern};

/// The environment variable that carries a [`Request`] into the program.
pub const VARIABLE: &str = "SOCKPULSE_RUN";

/// The kernel takes `TCP_USER_TIMEOUT` as a positive int.
pub(crate) const MOST_MILLISECONDS: u32 = 0x7fff_ffff;

/// What is wanted of a program's TCP sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// `TCP_KEEPIDLE` in seconds, 1..=32767; `None`: left as it is.
    pub idle: Option<u16>,
    /// `TCP_KEEPINTVL` in seconds, 1..=32767.
    pub interval: Option<u16>,
    /// `TCP_KEEPCNT`, 1..=127.
    pub probes: Option<u8>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<UserTimeout>,
    /// Who wins when the program sets its own.
    pub mode: Mode,
    /// The own end must be one of these; empty: any.
    pub locals: List<Pattern>,
    /// The far end must be one of these; empty: any.
    pub remotes: List<Pattern>,
    /// Either end must have one of these ports; empty: any.
    pub ports: List<u16>,
}

/// Who wins when a program sets its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The program: only what it does not ask for is filled in.
    #[default]
    Fill,
    /// Whoever notices a dead peer sooner, value by value; keepalive stays on.
    Tighten,
    /// The request, exactly.
    Override,
}

/// Which user timeout is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserTimeout {
    /// As long as keepalive takes on this socket: idle + interval x probes.
    Auto,
    /// None.
    Off,
    /// This many milliseconds, 1..=2147483647.
    Milliseconds(u32),
}

/// Why a text is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// A part is none of the known ones, or stands there twice.
    Part,
    /// A value cannot be read or is out of range.
    Value,
    /// More ends or ports than [`CAPACITY`](crate::CAPACITY).
    TooMany,
}

impl Request {
    /// Reads the value of [`VARIABLE`]. `Ok(None)`: `off`, nothing is to be done.
    ///
    /// # Errors
    /// [`RequestError`]; a value is never clamped.
    pub fn parse(text: &str) -> Result<Option<Self>, RequestError> {
        if text == "off" {
            return Ok(None);
        }
        let mut request = Self::default();
        let mut mode = None;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or(RequestError::Part)?;
            match key {
                "idle" => once(&mut request.idle, seconds(value))?,
                "interval" => once(&mut request.interval, seconds(value))?,
                "probes" => once(&mut request.probes, probes(value))?,
                "user-timeout" => once(&mut request.user_timeout, UserTimeout::parse(value))?,
                "mode" => once(&mut mode, Mode::parse(value))?,
                "local" => add(&mut request.locals, Pattern::parse(value))?,
                "remote" => add(&mut request.remotes, Pattern::parse(value))?,
                "port" => add(&mut request.ports, port(value))?,
                _ => return Err(RequestError::Part),
            }
        }
        request.mode = mode.unwrap_or_default();
        Ok(Some(request))
    }

    /// Whether only some connections are meant, so that a socket must have its ends before it can
    /// be judged.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        !(self.locals.is_empty() && self.remotes.is_empty() && self.ports.is_empty())
    }

    /// Whether a connection with these ends is meant.
    #[must_use]
    pub fn matches(&self, local: &SocketAddr, remote: &SocketAddr) -> bool {
        self.locals.admits(|pattern| pattern.matches(local))
            && self.remotes.admits(|pattern| pattern.matches(remote))
            && self
                .ports
                .admits(|port| port == local.port() || port == remote.port())
    }
}

/// The value of [`VARIABLE`]; read back, it is the same request.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode={}", self.mode.name())?;
        if let Some(idle) = self.idle {
            write!(f, ",idle={idle}s")?;
        }
        if let Some(interval) = self.interval {
            write!(f, ",interval={interval}s")?;
        }
        if let Some(probes) = self.probes {
            write!(f, ",probes={probes}")?;
        }
        match self.user_timeout {
            Some(UserTimeout::Auto) => f.write_str(",user-timeout=auto")?,
            Some(UserTimeout::Off) => f.write_str(",user-timeout=off")?,
            Some(UserTimeout::Milliseconds(ms)) => write!(f, ",user-timeout={ms}ms")?,
            None => {}
        }
        for pattern in self.locals.iter() {
            write!(f, ",local={pattern}")?;
        }
        for pattern in self.remotes.iter() {
            write!(f, ",remote={pattern}")?;
        }
        for port in self.ports.iter() {
            write!(f, ",port={port}")?;
        }
        Ok(())
    }
}

impl Mode {
    /// As in the variable and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Tighten => "tighten",
            Self::Override => "override",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Fill, Self::Tighten, Self::Override]
            .into_iter()
            .find(|mode| mode.name() == text)
    }
}

impl UserTimeout {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            text => u32::try_from(milliseconds(text)?)
                .ok()
                .filter(|ms| (1..=MOST_MILLISECONDS).contains(ms))
                .map(Self::Milliseconds),
        }
    }
}

impl RequestError {
    /// In words.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Part => "a part is unknown or stands there twice",
            Self::Value => "a value cannot be read or is out of range",
            Self::TooMany => "more than 16 ends or ports of a kind",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for RequestError {}

/// `TCP_KEEPIDLE` and `TCP_KEEPINTVL`: parts of a second round up, so that nothing happens sooner
/// than asked.
pub(crate) fn seconds(text: &str) -> Option<u16> {
    let seconds = milliseconds(text)?.div_ceil(1_000);
    in_range(seconds, 32_767).and_then(|seconds| u16::try_from(seconds).ok())
}

pub(crate) fn probes(text: &str) -> Option<u8> {
    in_range(text.parse().ok()?, 127).and_then(|probes| u8::try_from(probes).ok())
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn in_range(value: u64, most: u64) -> Option<u64> {
    (1..=most).contains(&value).then_some(value)
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), RequestError> {
    let value = value.ok_or(RequestError::Value)?;
    match place.replace(value) {
        Some(_) => Err(RequestError::Part),
        None => Ok(()),
    }
}

fn add<T: Copy>(list: &mut List<T>, value: Option<T>) -> Result<(), RequestError> {
    let value = value.ok_or(RequestError::Value)?;
    list.push(value).map_err(|_| RequestError::TooMany)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_parts_are_read() {
        let text = "idle=60,interval=10s,probes=6,user-timeout=2m,mode=tighten,\
                    remote=10.0.0.0/8:5432,local=:6379,port=80,port=81";
        let request = Request::parse(text).expect("sound").expect("not off");
        assert_eq!(request.idle, Some(60));
        assert_eq!(request.interval, Some(10));
        assert_eq!(request.probes, Some(6));
        let two_minutes = UserTimeout::Milliseconds(120_000);
        assert_eq!(request.user_timeout, Some(two_minutes));
        assert_eq!(request.mode, Mode::Tighten);
        assert_eq!(request.ports.iter().collect::<Vec<_>>(), [80, 81]);
        assert!(request.is_selective());
    }

    #[test]
    fn nothing_and_off_are_requests_too() {
        assert_eq!(Request::parse(""), Ok(Some(Request::default())));
        assert_eq!(Request::parse("off"), Ok(None));
        assert!(!Request::default().is_selective());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, error) in [
            ("on", RequestError::Part),
            ("idel=60", RequestError::Part),
            ("idle=60,idle=61", RequestError::Part),
            ("mode=fill,mode=fill", RequestError::Part),
            ("idle=0", RequestError::Value),
            ("idle=32768", RequestError::Value),
            ("interval=10x", RequestError::Value),
            ("probes=128", RequestError::Value),
            ("user-timeout=0", RequestError::Value),
            ("user-timeout=25d", RequestError::Value),
            ("mode=off", RequestError::Value),
            ("port=0", RequestError::Value),
            ("local=nowhere", RequestError::Value),
        ] {
            assert_eq!(Request::parse(text), Err(error), "{text}");
        }
        let many = "port=1,".repeat(17);
        assert_eq!(Request::parse(&many), Err(RequestError::TooMany));
    }

    #[test]
    fn parts_of_a_second_round_up() {
        let request = Request::parse("idle=1500ms")
            .expect("sound")
            .expect("not off");
        assert_eq!(request.idle, Some(2));
    }

    #[test]
    fn different_kinds_mean_and() {
        let text = "remote=10.0.0.0/8,remote=192.0.2.1,port=443";
        let request = Request::parse(text).expect("sound").expect("not off");
        let local = "10.1.1.1:40000".parse().expect("an end");
        for (remote, fits) in [
            ("10.2.2.2:443", true),
            ("192.0.2.1:443", true),
            ("192.0.2.1:80", false),
            ("192.0.2.2:443", false),
        ] {
            let remote = remote.parse().expect("an end");
            assert_eq!(request.matches(&local, &remote), fits, "{remote}");
        }
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let net = prop_oneof![
            any::<u32>().prop_map(|bits| (core::net::Ipv4Addr::from_bits(bits).into(), 32)),
            any::<u128>().prop_map(|bits| (core::net::Ipv6Addr::from_bits(bits).into(), 128)),
            (0..=24_u8).prop_map(|length| {
                let bits = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                (core::net::Ipv4Addr::from_bits(bits).into(), length)
            }),
        ];
        (proptest::option::of(net), 1..=u16::MAX)
            .prop_map(|(net, port)| Pattern::new(net, Some(port)).expect("sound"))
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            idle in proptest::option::of(1..=32767_u16),
            interval in proptest::option::of(1..=32767_u16),
            probes in proptest::option::of(1..=127_u8),
            user_timeout in proptest::option::of(prop_oneof![
                Just(UserTimeout::Auto),
                Just(UserTimeout::Off),
                (1..=MOST_MILLISECONDS).prop_map(UserTimeout::Milliseconds),
            ]),
            mode in prop_oneof![Just(Mode::Fill), Just(Mode::Tighten), Just(Mode::Override)],
            locals in proptest::collection::vec(pattern(), 0..16),
            port in 1..=u16::MAX,
        ) {
            let mut request = Request { idle, interval, probes, user_timeout, mode, ..Request::default() };
            for pattern in locals {
                request.locals.push(pattern).expect("room");
                request.remotes.push(pattern).expect("room");
            }
            request.ports.push(port).expect("room");
            prop_assert_eq!(Request::parse(&request.to_string()), Ok(Some(request)));
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _read = Request::parse(&text);
        }
    }
}
