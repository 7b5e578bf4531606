//! What the environment asks for, read once: programs change theirs, and nginx wipes it.

use crate::request::{Request, RequestError, VARIABLE, probes, seconds};

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// `None`: nothing is to be done.
    pub(crate) request: Result<Option<Request>, RequestError>,
    /// The listeners that systemd passes on, from descriptor 3: `LISTEN_FDS`, if it is meant for this
    /// process (sd_listen_fds(3)).
    pub(crate) listeners: u16,
}

/// Reads entries like `NAME=value`; of several with the same name the first counts, as for
/// getenv(3).
///
/// Without [`VARIABLE`] those of libkeepalive are honoured: `KEEPALIVE=off`, and `KEEPIDLE`,
/// `KEEPINTVL`, `KEEPCNT` in seconds and probes; of them what cannot be read is ignored, as there.
pub(crate) fn read<'a>(
    entries: impl Iterator<Item = &'a [u8]> + Clone,
    process_id: i64,
) -> Environment {
    let value = |name: &str| {
        let mut values = entries.clone().filter_map(|entry| {
            let rest = entry.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        });
        values.next().map(core::str::from_utf8)
    };
    let readable = |name: &str| value(name).and_then(Result::ok);
    let is_for_us = readable("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(process_id);
    let listeners = readable("LISTEN_FDS").filter(|_| is_for_us);
    let request = match value(VARIABLE) {
        Some(text) => text
            .map_err(|_| RequestError::Value)
            .and_then(Request::parse),
        None if readable("KEEPALIVE").is_some_and(|word| word.eq_ignore_ascii_case("off")) => {
            Ok(None)
        }
        None => Ok(Some(Request {
            idle: readable("KEEPIDLE").and_then(bare).and_then(seconds),
            interval: readable("KEEPINTVL").and_then(bare).and_then(seconds),
            probes: readable("KEEPCNT").and_then(probes),
            ..Request::default()
        })),
    };
    Environment {
        request,
        listeners: listeners.and_then(|count| count.parse().ok()).unwrap_or(0),
    }
}

/// A number without a unit.
fn bare(text: &str) -> Option<&str> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Mode;

    fn request(entries: &[&str]) -> Result<Option<Request>, RequestError> {
        read(entries.iter().map(|entry| entry.as_bytes()), 7).request
    }

    #[test]
    fn libkeepalives_variables_are_honoured() {
        let keepalive_alone = Ok(Some(Request::default()));
        assert_eq!(request(&[]), keepalive_alone);
        assert_eq!(request(&["KEEPALIVE=on"]), keepalive_alone);
        assert_eq!(request(&["KEEPALIVE=off", "KEEPIDLE=5"]), Ok(None));
        assert_eq!(request(&["KEEPALIVE=OFF"]), Ok(None));
        assert_eq!(
            request(&["KEEPIDLE=0", "KEEPCNT=x", "KEEPINTVL=5s"]),
            keepalive_alone
        );
        let all = request(&["KEEPIDLE=5", "KEEPINTVL=6", "KEEPCNT=7"]);
        let all = all.expect("sound").expect("not off");
        assert_eq!(
            (all.idle, all.interval, all.probes),
            (Some(5), Some(6), Some(7))
        );
        assert_eq!(all.mode, Mode::Fill);
    }

    #[test]
    fn our_own_variable_stands_alone() {
        let request = request(&[
            "KEEPALIVE=off",
            "KEEPCNT=3",
            "SOCKPULSE_RUN=idle=9",
            "SOCKPULSE_RUN=off",
        ]);
        let request = request.expect("sound").expect("not off");
        assert_eq!((request.idle, request.probes), (Some(9), None));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_a_longer_name_another_variable() {
        assert_eq!(request(&["SOCKPULSE_RUN=idle"]), Err(RequestError::Part));
        assert_eq!(
            request(&["SOCKPULSE_RUNNER=idle"]),
            Ok(Some(Request::default()))
        );
        let entries: [&[u8]; 1] = [b"SOCKPULSE_RUN=\xff"];
        assert_eq!(
            read(entries.into_iter(), 7).request,
            Err(RequestError::Value)
        );
    }

    #[test]
    fn listeners_are_ours_only_with_our_process_id() {
        for (entries, listeners) in [
            (&["LISTEN_PID=7", "LISTEN_FDS=2"][..], 2),
            (&["LISTEN_PID=8", "LISTEN_FDS=2"], 0),
            (&["LISTEN_FDS=2"], 0),
            (&["LISTEN_PID=7", "LISTEN_FDS=-1"], 0),
        ] {
            let read = read(entries.iter().map(|entry| entry.as_bytes()), 7);
            assert_eq!(read.listeners, listeners, "{entries:?}");
        }
    }
}
