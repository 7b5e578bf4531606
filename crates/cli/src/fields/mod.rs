//! The registry of fields: what can be known of a connection, under one name in tables, `--columns`,
//! `--sort`, CSV, JSON and the reference.

mod of;
mod reference;
mod shown;
mod value;

pub(crate) use reference::reference;
pub(crate) use shown::{Part, Shown};

pub(crate) use of::{next_probe, next_timer, unknown_settings};
pub(crate) use value::{Direction, Key, Value};

use crate::row::Row;

/// On which side of its column a value stands, and what a column gives up when it is too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words: on the left; the end is cut off.
    Left,
    /// Addresses: on the left; the beginning is cut off, since what tells them apart comes last.
    Tail,
    /// An owner: on the left; the name is cut, the process id is what is needed next.
    Owner,
    /// Numbers: on the right; never cut.
    Right,
}

/// One field of a connection.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name in `--columns`, `--sort` and CSV.
    pub(crate) name: &'static str,
    /// The heading of its column.
    pub(crate) title: &'static str,
    /// Its path in a JSON connection; empty for what only tables have.
    pub(crate) json: &'static str,
    /// What it is, its unit and its kernel name.
    pub(crate) doc: &'static str,
    pub(crate) align: Align,
    /// Whether `--wide` shows it.
    pub(crate) wide: bool,
    pub(crate) of: for<'a> fn(&Row<'a>) -> Value<'a>,
}

impl Field {
    /// The field with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.name == name)
    }

    /// Whether it stands in CSV: all but what a table puts together from several.
    pub(crate) fn in_csv(&self) -> bool {
        !self.json.is_empty()
    }
}

/// Columns of a table by the width of the terminal, narrowest first.
pub(crate) const COLUMNS: [(usize, &[&str]); 4] = [
    (
        0,
        &[
            "state",
            "local",
            "remote",
            "exposure",
            "detects_idle",
            "silence",
            "owner",
        ],
    ),
    (
        100,
        &[
            "state",
            "local",
            "remote",
            "exposure",
            "detects_idle",
            "silence",
            "next_probe",
            "unanswered",
            "owner",
        ],
    ),
    (
        120,
        &[
            "state",
            "local",
            "remote",
            "exposure",
            "keepalive",
            "idle",
            "interval",
            "probes",
            "detects_idle",
            "silence",
            "next_probe",
            "unanswered",
            "owner",
        ],
    ),
    (
        160,
        &[
            "state",
            "local",
            "remote",
            "exposure",
            "keepalive",
            "idle",
            "interval",
            "probes",
            "user_timeout",
            "detects_idle",
            "silence",
            "next_probe",
            "unanswered",
            "unread",
            "unacked",
            "owner",
            "place",
        ],
    ),
];

macro_rules! fields {
    ($($name:literal, $title:literal, $json:literal, $align:ident, $wide:ident, $of:ident, $doc:literal;)*) => {
        /// Every field, in the order of `--wide` and CSV.
        pub(crate) const FIELDS: &[Field] = &[$(Field {
            name: $name,
            title: $title,
            json: $json,
            doc: $doc,
            align: Align::$align,
            wide: fields!(@$wide),
            of: of::$of,
        },)*];
    };
    (@wide) => { true };
    (@asked) => { false };
}

fields! {
    "state", "STATE", "state", Left, wide, state, "State of RFC 9293 in lower case; tables shorten `established` to `estab` and `syn-received` to `syn-recv`.";
    "local", "LOCAL", "local", Tail, wide, local, "The end here. In JSON an object with `addr` and `port`.";
    "remote", "REMOTE", "remote", Tail, wide, remote, "The peer's end; port 0 for listeners.";
    "exposure", "EXPOSURE", "exposure", Left, wide, exposure, "What becomes of the connection when its peer dies while it is idle. Absent for listeners, orphans and states that end by themselves.";
    "keepalive", "KA", "keepalive.on", Left, wide, keepalive, "Whether the program switched keepalive on (`SO_KEEPALIVE`).";
    "idle", "IDLE", "keepalive.idle.seconds", Right, wide, idle, "Seconds of silence before the first probe (`TCP_KEEPIDLE`). In tables: `60s` set on the socket, `(2h)` inherited from the namespace's sysctl, `2h?` origin not known.";
    "idle_origin", "IDLE-FROM", "keepalive.idle.origin", Left, asked, idle_origin, "Where `idle` comes from: `socket` or `namespace`.";
    "interval", "INTVL", "keepalive.interval.seconds", Right, wide, interval, "Seconds between probes (`TCP_KEEPINTVL`).";
    "interval_origin", "INTVL-FROM", "keepalive.interval.origin", Left, asked, interval_origin, "Where `interval` comes from.";
    "probes", "CNT", "keepalive.probes.count", Right, wide, probes, "Unanswered probes before the connection is given up (`TCP_KEEPCNT`).";
    "probes_origin", "CNT-FROM", "keepalive.probes.origin", Left, asked, probes_origin, "Where `probes` comes from.";
    "user_timeout", "UTO", "keepalive.user_timeout.ms", Right, wide, user_timeout, "`TCP_USER_TIMEOUT` in milliseconds; 0 is off.";
    "settings_unknown", "NO-SETTINGS", "settings_unknown", Left, asked, settings_unknown, "Why the settings could not be seen.";
    "detects_idle", "NOTICED", "detects_idle_s", Right, wide, detects_idle, "Seconds after which a dead peer is noticed while the connection is idle, by the settings. JSON and CSV have nothing where it is never.";
    "detects_idle_latest", "LATEST", "detects_idle_latest_s", Right, wide, detects_idle_latest, "The same with the most that the kernel's timers may be late.";
    "detects_busy", "BUSY", "detects_busy_s", Right, wide, detects_busy, "Seconds after which a dead peer is noticed while data is unacknowledged.";
    "detects_zero_window", "ZERO-WIN", "detects_zero_window_s", Right, wide, detects_zero_window, "Seconds after which a dead peer is noticed that had closed its window.";
    "silence", "SILENT", "silence_ms", Right, wide, silence, "Milliseconds since the last segment from the peer was received.";
    "sent", "SENT", "sent_ms", Right, wide, sent, "Milliseconds since data was last sent.";
    "next_probe", "PROBE", "next_probe_ms", Right, wide, next_probe, "Milliseconds until the keepalive timer is due. Absent where keepalive is off; unknown where the settings are.";
    "unanswered", "UNANS", "timer.unanswered_probes", Right, wide, unanswered, "Probes sent since the peer was last heard; zero-window probes count too.";
    "timer", "TIMER", "timer.kind", Left, wide, timer_kind, "What the timer that is due first will do: `keepalive`, `retransmission`, `loss-probe`, `reordering`, `persist`, `fin-wait-2`, `time-wait`, `syn-ack` or `none`.";
    "timer_expires", "DUE", "timer.expires_ms", Right, wide, timer_expires, "Milliseconds until that timer is due.";
    "unread", "UNREAD", "unread_bytes", Right, wide, unread, "Bytes received that the program has not read; for listeners connections that wait to be accepted.";
    "unacked", "UNACKED", "unacked_bytes", Right, wide, unacked, "Bytes written that the peer has not acknowledged; for listeners the length of the accept queue.";
    "in_flight", "FLIGHT", "in_flight", Left, asked, in_flight, "Whether segments are in flight.";
    "retransmits", "RETR", "retransmits", Right, wide, retransmits, "Retransmissions of the oldest segment so far.";
    "rto", "RTO", "rto_ms", Right, wide, rto, "The retransmission timeout in force, milliseconds.";
    "backoff", "BACKOFF", "backoff", Right, asked, backoff, "Exponent of the retransmission or zero-window backoff.";
    "snd_una", "SND-UNA", "snd_una", Right, asked, snd_una, "First sequence number that the peer has not acknowledged.";
    "rcv_nxt", "RCV-NXT", "rcv_nxt", Right, asked, rcv_nxt, "Next sequence number expected from the peer.";
    "findings", "FINDINGS", "findings", Left, wide, findings, "Codes of the findings that apply; `sockpulse explain CODE` says more.";
    "owner", "OWNER", "", Owner, wide, owner, "Program and process, `redis-server(812)`, and `+2` when two more processes hold the socket; else the reason why none is named.";
    "program", "PROGRAM", "owner.program", Left, asked, program, "The owning program's name as the kernel keeps it (comm, at most 15 bytes).";
    "pid", "PID", "owner.pid", Right, asked, pid, "The owning process; the lowest number of several.";
    "fd", "FD", "owner.fd", Right, wide, fd, "The lowest descriptor of the socket in that process.";
    "uid", "UID", "owner.uid", Right, wide, uid, "The user that created the socket.";
    "owner_unknown", "NO-OWNER", "owner.unknown", Left, asked, owner_unknown, "Why no process is named.";
    "place", "PLACE", "", Left, wide, place, "The container, else the systemd unit, else the cgroup.";
    "cgroup", "CGROUP", "owner.cgroup", Left, asked, cgroup, "Path of the cgroup in which the socket was created.";
    "unit", "UNIT", "owner.unit", Left, asked, unit, "The systemd unit.";
    "container", "CONTAINER", "owner.container", Left, asked, container, "The container's id or name.";
    "pod", "POD", "owner.pod", Left, asked, pod, "The Kubernetes pod's UID.";
    "netns", "NETNS", "netns", Right, asked, netns, "The network namespace's inode number.";
    "netns_name", "NAMESPACE", "netns_name", Left, wide, netns_name, "What people call the network namespace.";
    "cookie", "COOKIE", "cookie", Right, wide, cookie, "The socket's identity for its whole life (`SO_COOKIE`).";
    "inode", "INODE", "inode", Right, wide, inode, "The socket's inode number, as in `/proc/PID/fd`.";
    "family", "FAMILY", "family", Left, asked, family, "`ipv4` or `ipv6`; IPv4-mapped addresses belong to IPv6 sockets.";
    "ifindex", "IFINDEX", "ifindex", Right, asked, ifindex, "The device that the socket is bound to.";
    "orphan", "ORPHAN", "orphan", Left, asked, orphan, "Whether its program closed it and only the kernel still holds it.";
    "mptcp", "MPTCP", "mptcp", Left, asked, mptcp, "Whether this is a subflow of a Multipath TCP connection.";
    "source", "SOURCE", "source", Left, wide, source, "Where it was read: `bpf`, `pidfd` or `sock_diag`.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_default_columns_exist() {
        let names: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), FIELDS.len());
        for (_, columns) in COLUMNS {
            for name in columns {
                assert!(Field::named(name).is_some(), "{name}");
            }
        }
        for field in FIELDS {
            assert!(field.doc.ends_with('.'), "{}", field.name);
        }
    }
}
