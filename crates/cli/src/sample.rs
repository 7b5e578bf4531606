//! A machine for unit tests: connections of which everything is known or nothing, and surveys that
//! find them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use sockpulse_core::{
    Assessment, CgroupId, Comm, Connection, Cookie, Coverage, End, Family, Gap, Hz, LocalRoutes,
    Namespace, NetnsDefaults, NetnsId, Observed, Owner, Place, Process, Setting, SocketId,
    SocketTimers, Source, Target, TcpState, Timer, TimerKind, Timers, Unseen, UserTimeout, assess,
};

use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::{Machine, Survey, Visitor};
use crate::options::{DoctorOptions, Here, SurveyOptions, Surveyed};
use crate::row::Row;

pub(crate) const TARGET: Target = Target {
    detect_within: Duration::from_secs(600),
    hz: Hz::new(250),
};

pub(crate) fn namespace() -> Namespace {
    let mut local = LocalRoutes::default();
    local.insert(ipnet::IpNet::from(IpAddr::from([10, 0, 0, 1])));
    Namespace {
        id: NetnsId(4_026_531_840),
        name: "host".into(),
        own: true,
        pid: Some(1),
        defaults: Some(NetnsDefaults::KERNEL),
        local,
    }
}

pub(crate) fn place() -> Place {
    Place::from_cgroup("/system.slice/redis.service")
}

pub(crate) fn end(addr: &str, port: u16) -> End {
    End {
        addr: addr.parse().unwrap(),
        port,
    }
}

pub(crate) fn process(pid: u32, fd: u32, comm: &[u8]) -> Process {
    Process {
        pid,
        fd,
        comm: Comm::new(comm),
    }
}

/// Established, keepalive on with an idle of its own, silent for nineteen seconds.
pub(crate) fn known() -> Connection {
    Connection {
        id: SocketId {
            cookie: Cookie(42),
            netns: NetnsId(4_026_531_840),
            local: end("10.0.0.1", 6379),
            remote: end("10.0.0.9", 51234),
        },
        family: Family::Ipv4,
        state: TcpState::Established,
        ifindex: 0,
        mptcp: false,
        orphan: Observed::Known(false),
        inode: 52_718,
        settings: Observed::Known(SocketTimers {
            keepalive: true,
            idle: Setting::Socket(60),
            interval: Setting::Namespace,
            probes: Setting::Namespace,
            user_timeout: UserTimeout::OFF,
        }),
        timers: Timers {
            keepalive: Observed::Known(Some(Timer {
                kind: TimerKind::Keepalive,
                expires_ms: 41_230,
            })),
            retransmission: Observed::Known(None),
        },
        unanswered_probes: Some(0),
        silence_ms: Some(18_770),
        sent_ms: Some(18_770),
        unread_bytes: Some(0),
        unacked_bytes: Some(0),
        in_flight: Some(false),
        snd_una: Some(3_735_928_559),
        rcv_nxt: Some(305_419_896),
        rto_ms: Some(204),
        retransmits: Some(0),
        backoff: Some(0),
        owner: Owner {
            processes: vec![process(812, 9, b"redis-server")],
            uid: Some(110),
            cgroup: Some(CgroupId(5)),
            unseen: None,
        },
        source: Source::TaskFile,
    }
}

/// The same connection as a reader without any right sees it.
pub(crate) fn unknown() -> Connection {
    let hidden = Unseen::NotReported;
    Connection {
        id: SocketId {
            cookie: Cookie(0),
            ..known().id
        },
        orphan: Observed::Unknown(hidden),
        inode: 0,
        settings: Observed::Unknown(hidden),
        timers: Timers {
            keepalive: Observed::Unknown(hidden),
            retransmission: Observed::Unknown(hidden),
        },
        unanswered_probes: None,
        silence_ms: None,
        sent_ms: None,
        unread_bytes: None,
        unacked_bytes: None,
        in_flight: None,
        snd_una: None,
        rcv_nxt: None,
        rto_ms: None,
        retransmits: None,
        backoff: None,
        owner: Owner {
            processes: Vec::new(),
            uid: None,
            cgroup: None,
            unseen: Some(Unseen::NotPermitted),
        },
        source: Source::SockDiag,
        ..known()
    }
}

/// With keepalive off and two hours of silence.
pub(crate) fn off() -> Connection {
    let mut connection = known();
    if let Observed::Known(timers) = &mut connection.settings {
        timers.keepalive = false;
        timers.idle = Setting::Namespace;
    }
    connection.timers.keepalive = Observed::Known(None);
    connection.silence_ms = Some(7_321_000);
    connection
}

/// An IPv6 listener with a hostile name, in a container.
pub(crate) fn listener() -> Connection {
    let mut connection = off();
    connection.id.local = end("::", 8080);
    connection.id.remote = end("::", 0);
    connection.family = Family::Ipv6;
    connection.state = TcpState::Listen;
    connection.silence_ms = None;
    connection.sent_ms = None;
    connection.rto_ms = None;
    connection.snd_una = None;
    connection.rcv_nxt = None;
    connection.owner.processes = vec![
        process(4_000_001, 3, b"\x1b[31mevil,\"\xff"),
        process(4_000_002, 3, b"worker"),
    ];
    connection
}

/// What a listener of several processes accepted.
pub(crate) fn accepted() -> Connection {
    let mut connection = known();
    connection.id.cookie = Cookie(44);
    connection.owner.processes = listener().owner.processes;
    connection
}

/// TIME-WAIT: no socket, no process, a timer.
pub(crate) fn time_wait() -> Connection {
    let none = Unseen::NoSocket;
    let mut connection = unknown();
    connection.id.cookie = Cookie(77);
    connection.id.remote = end("2001:db8:1234:5678:9abc:def0:1234:5678", 51234);
    connection.id.local = end("2001:db8::1", 443);
    connection.family = Family::Ipv6;
    connection.state = TcpState::TimeWait;
    connection.settings = Observed::Unknown(none);
    connection.orphan = Observed::Known(true);
    connection.timers = Timers {
        keepalive: Observed::Known(Some(Timer {
            kind: TimerKind::TimeWait,
            expires_ms: 33_012,
        })),
        retransmission: Observed::Known(None),
    };
    connection.owner.unseen = Some(none);
    connection
}

/// A connection with all that a row of it borrows.
pub(crate) struct Sample {
    pub(crate) connection: Connection,
    pub(crate) assessment: Assessment,
    pub(crate) place: Place,
    pub(crate) namespace: Option<Namespace>,
}

impl Sample {
    pub(crate) fn new(connection: Connection) -> Self {
        let namespace = namespace();
        Self {
            assessment: assess(&connection, Some(&namespace), &TARGET),
            connection,
            place: place(),
            namespace: Some(namespace),
        }
    }

    /// Nothing known of its surroundings either.
    pub(crate) fn bare(connection: Connection) -> Self {
        Self {
            assessment: assess(&connection, None, &TARGET),
            connection,
            place: Place::default(),
            namespace: None,
        }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            connection: &self.connection,
            assessment: &self.assessment,
            place: &self.place,
            namespace: self.namespace.as_ref(),
        }
    }
}

/// One of each kind.
pub(crate) fn all() -> Vec<Sample> {
    let mut container = Sample::new(listener());
    container.place = Place::from_cgroup(
        "/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
    );
    let mut namespaceless = Sample::bare(known());
    namespaceless.connection.id.netns = NetnsId(7);
    vec![
        Sample::new(known()),
        Sample::new(off()),
        container,
        Sample::new(time_wait()),
        namespaceless,
        Sample::bare(unknown()),
    ]
}

/// A machine on which this survey is made.
pub(crate) fn machine(survey: Survey) -> Machine {
    Machine {
        survey,
        doctor: |_: &DoctorOptions, _: &mut dyn Write| -> Result<Exit, CommandError> {
            Err(CommandError::new(ErrorKind::Bug, "not under test"))
        },
        defaults: || {
            Ok(Here {
                defaults: NetnsDefaults::KERNEL,
                hz: TARGET.hz,
            })
        },
        changes: || panic!("not under test"),
        events: |_| panic!("not under test"),
        stations: |_, _| panic!("not under test"),
        consent: |_| panic!("not under test"),
    }
}

/// Finds one connection of each kind.
pub(crate) fn everything(
    _: &SurveyOptions,
    visit: &mut Visitor<'_>,
) -> Result<Surveyed, CommandError> {
    for sample in all() {
        visit(&sample.row()).map_err(CommandError::output)?;
    }
    Ok(Surveyed {
        namespaces: vec![namespace()],
        coverage: Coverage {
            namespaces: 1,
            sockets: BTreeMap::from([(Source::TaskFile, 4), (Source::SockDiag, 2)]),
            ..Coverage::default()
        },
        elapsed: Duration::from_millis(3),
    })
}

/// Finds the same and cannot see all owners.
pub(crate) fn in_part(
    options: &SurveyOptions,
    visit: &mut Visitor<'_>,
) -> Result<Surveyed, CommandError> {
    let mut surveyed = everything(options, visit)?;
    surveyed.coverage.gaps.push(Gap {
        what: "owners".into(),
        why: "CAP_SYS_PTRACE is missing".into(),
        remedy: None,
    });
    Ok(surveyed)
}

/// Finds nothing.
pub(crate) fn nothing(_: &SurveyOptions, _: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    Ok(Surveyed::default())
}
