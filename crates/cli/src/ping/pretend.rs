//! A machine that is made up: peers that answer or do not, and a clock that jumps from one event to
//! the next.

mod clock;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sockpulse_core::ping::{Glance, Gone, Method, Seen, Timestamps, Unreachable, Why};
use sockpulse_core::{
    Connection, Cookie, Coverage, Gap, KeepIdle, NetnsId, Process, Source, TcpState, Unseen, assess,
};
use sockpulse_linux::Error;
use sockpulse_linux::sock_diag::Memory;

use super::station::{MethodChoice, NotThere, Station, Stations, Work};
use super::subject::Subject;
use crate::error::{CommandError, ErrorKind};
use crate::machine::{Machine, Visitor};
use crate::options::{SurveyOptions, Surveyed};
use crate::sample::{self, Sample};
use sockpulse_linux::ping::{Heard, Pinned, Sent};

/// What a peer does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Answers after this long.
    Answers(Duration),
    /// Answers only from this probe on.
    Late(u16),
    Silent,
    /// Silent, and a router says that it cannot be reached.
    Unreachable,
    Resets,
    Signed,
    /// The program here closed the connection just now.
    Closed,
    /// The kernel does not let us send.
    Firewalled,
}

/// All that there is.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) sockets: Vec<(Connection, Peer)>,
    live: BTreeMap<u64, Live>,
    pub(crate) gaps: Vec<Gap>,
    /// Namespaces that cannot be entered.
    pub(crate) closed: Vec<NetnsId>,
    pub(crate) notes: Vec<String>,
    /// When somebody presses Ctrl-C.
    pub(crate) interrupt: Option<Duration>,
    /// What whoever sits at the terminal says.
    pub(crate) says: Option<bool>,
    pub(crate) questions: Vec<String>,
    /// When which was probed.
    pub(crate) sent: Vec<(Duration, u64)>,
    pub(crate) destroyed: Vec<(Duration, u64)>,
    pub(crate) may_destroy: bool,
    /// Who says something by itself.
    pub(crate) speaks: Option<u64>,
    /// Whether they are asked by options.
    pub(crate) by_options: bool,
    heard: Vec<Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    glance: Glance,
    /// When the last word came.
    heard: Duration,
    /// When what comes next.
    comes: Option<(Duration, Came)>,
    gone: Option<Gone>,
    probes: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Ack,
    Reset,
}

thread_local! {
    static WORLD: Arc<Mutex<World>> = Arc::default();
}

/// Looks at the world of this test, or changes it.
pub(crate) fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| work(&mut locked(world)))
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that nobody has asked for keepalive, two hours silent.
pub(crate) fn client(cookie: u64) -> Connection {
    let mut connection = sample::off();
    connection.id.cookie = Cookie(cookie);
    connection.id.remote.port = u16::try_from(40_000 + cookie).unwrap();
    connection
}

/// Begins a world with these.
pub(crate) fn begin(sockets: Vec<(Connection, Peer)>) {
    world(|world| {
        let live = sockets
            .iter()
            .map(|(connection, peer)| (connection.id.cookie.0, Live::of(connection, *peer)));
        *world = World {
            live: live.collect(),
            sockets,
            may_destroy: true,
            ..World::default()
        };
    });
}

/// The machine to run commands on.
pub(crate) fn machine() -> Machine {
    Machine {
        stations: open,
        changes: || Box::new(clock::Clock),
        consent,
        ..sample::machine(survey)
    }
}

fn survey(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let (sockets, gaps) = world(|world| {
        let lives = |cookie: u64| {
            world
                .live
                .get(&cookie)
                .is_none_or(|one| one.gone != Some(Gone::Destroyed))
        };
        let sockets: Vec<_> = world
            .sockets
            .iter()
            .map(|(connection, _)| connection.clone())
            .filter(|connection| lives(connection.id.cookie.0))
            .collect();
        (sockets, world.gaps.clone())
    });
    let namespace = sample::namespace();
    for connection in sockets {
        let mut sample = Sample::new(connection);
        sample.assessment = assess(&sample.connection, Some(&namespace), &sample::TARGET);
        let exposure = sample.assessment.exposure;
        if options
            .selector
            .matches(&sample.connection, &sample.place, exposure)
        {
            visit(&sample.row()).map_err(CommandError::output)?;
        }
    }
    Ok(Surveyed {
        namespaces: vec![namespace],
        coverage: Coverage {
            namespaces: 1,
            sockets: [(Source::TaskFile, 9)].into(),
            gaps,
            ..Coverage::default()
        },
        elapsed: Duration::from_millis(3),
    })
}

fn open(choice: MethodChoice, cookies: &[Cookie]) -> Result<Box<dyn Stations>, CommandError> {
    assert!(!cookies.is_empty(), "nobody to ask");
    if choice == MethodChoice::Only(Method::Option) {
        return Err(CommandError::new(ErrorKind::NotPermitted, "not here"));
    }
    Ok(Box::new(Pretended(WORLD.with(Arc::clone))))
}

fn consent(question: Option<&str>) -> Option<bool> {
    world(|world| {
        world.questions.extend(question.map(str::to_owned));
        world.says
    })
}

struct Pretended(Arc<Mutex<World>>);

impl Stations for Pretended {
    fn method(&self) -> Method {
        if locked(&self.0).by_options {
            Method::Option
        } else {
            Method::Raw
        }
    }

    fn notes(&self) -> Vec<String> {
        locked(&self.0).notes.clone()
    }

    fn pinned(&self) -> Vec<(Cookie, Pinned)> {
        let world = locked(&self.0);
        let asked = world.sent.iter().filter(|_| world.by_options);
        let pinned = Pinned {
            idle: KeepIdle::new(7_200).unwrap(),
            probes: None,
        };
        asked.map(|(_, cookie)| (Cookie(*cookie), pinned)).collect()
    }

    fn at(&self, netns: NetnsId, work: &mut Work<'_>) -> Result<(), NotThere> {
        if locked(&self.0).closed.contains(&netns) {
            return Err(NotThere {
                why: Why::NotEntered,
                reason: "failed to enter network namespace a\u{1b}b: operation not permitted"
                    .into(),
                remedy: Some("run as root".into()),
            });
        }
        work(&mut Pretended(Arc::clone(&self.0)));
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        let world = locked(&self.0);
        world.interrupt.is_some_and(|at| at <= world.now)
    }

    fn memory_after(&self, process: Process, _: Cookie) -> Result<Memory, Unseen> {
        // One program is slow to close.
        if process.comm.bytes() == b"slow" {
            Ok(Memory(512))
        } else {
            Err(Unseen::Vanished)
        }
    }

    fn pause(&self, time: Duration) {
        locked(&self.0).now += time;
    }
}

impl Station for Pretended {
    fn now(&mut self) -> Duration {
        locked(&self.0).now
    }

    fn look(
        &mut self,
        subjects: &[&Subject],
        seen: &mut Vec<Result<Seen, Why>>,
    ) -> Result<(), CommandError> {
        let world = &mut *locked(&self.0);
        let now = world.now;
        seen.extend(subjects.iter().map(|subject| {
            let Some(live) = world.live.get_mut(&subject.id.cookie.0) else {
                return Ok(Seen::Gone(Gone::Unknown));
            };
            Ok(live.seen(now))
        }));
        Ok(())
    }

    fn send(&mut self, subject: &Subject, glance: &Glance) -> Result<Sent, Why> {
        let world = &mut *locked(&self.0);
        let cookie = subject.id.cookie;
        let socket = world
            .sockets
            .iter()
            .find(|(one, _)| one.id.cookie == cookie);
        let peer = socket.expect("it was looked at").1;
        if peer == Peer::Firewalled {
            return Err(Why::NotSent(1));
        }
        sockpulse_core::ping::segment(subject.id.local, subject.id.remote, glance)
            .map_err(Why::from)?;
        let now = world.now;
        world.sent.push((now, cookie.0));
        let live = world.live.get_mut(&cookie.0).expect("it was looked at");
        live.probes += 1;
        let soon = now + Duration::from_micros(300);
        let comes = match peer {
            Peer::Answers(after) => Some((now + after, Came::Ack)),
            Peer::Late(from) if live.probes >= from => Some((soon, Came::Ack)),
            Peer::Resets => Some((soon, Came::Reset)),
            _ => None,
        };
        // What is on its way already comes first.
        live.comes = live.comes.or(comes);
        if peer == Peer::Unreachable {
            world.heard.push(Heard {
                local: subject.id.local,
                remote: subject.id.remote,
                seq: glance.snd_una - 1,
                unreachable: Unreachable {
                    from: [10, 0, 0, 254].into(),
                    code: 1,
                },
            });
        }
        Ok(Sent::Left)
    }

    fn hear(&mut self) -> Option<Heard> {
        locked(&self.0).heard.pop()
    }

    fn wait(&mut self, until: Duration) {
        let mut world = locked(&self.0);
        // Waiting for nothing would last for ever.
        world.now = until.max(world.now + Duration::from_micros(10));
    }

    fn silence(&mut self, subject: &Subject) -> Result<Option<Duration>, Error> {
        let world = &mut *locked(&self.0);
        let now = world.now;
        let speaks = world.speaks == Some(subject.id.cookie.0);
        let live = world.live.get_mut(&subject.id.cookie.0);
        Ok(live.and_then(|live| match live.seen(now) {
            Seen::Glance(_) if speaks => Some(Duration::ZERO),
            Seen::Glance(glance) => Some(glance.silence),
            Seen::Gone(_) => None,
        }))
    }

    fn memory(&mut self, _: &Subject) -> Option<Memory> {
        Some(Memory(2_560))
    }

    fn destroy(&mut self, subject: &Subject) -> Result<bool, Error> {
        let world = &mut *locked(&self.0);
        if !world.may_destroy {
            return Err(Error::Refused {
                request: "destroy a TCP socket through inet_diag",
                errno: rustix::io::Errno::PERM,
            });
        }
        let cookie = subject.id.cookie.0;
        let live = world.live.get_mut(&cookie).expect("it was looked at");
        let was_there = live.gone.is_none();
        live.gone = Some(Gone::Destroyed);
        world.destroyed.push((world.now, cookie));
        Ok(was_there)
    }
}

impl Live {
    fn of(connection: &Connection, peer: Peer) -> Self {
        let silence = Duration::from_millis(connection.silence_ms.unwrap_or(0));
        let glance = Glance {
            cookie: connection.id.cookie,
            state: connection.state,
            segs_in: 7,
            data_segs_in: 3,
            silence,
            unanswered: 0,
            unacked: connection
                .unacked_bytes
                .unwrap_or(0)
                .try_into()
                .unwrap_or(u32::MAX),
            unread: 0,
            retransmits: connection.retransmits.unwrap_or(0),
            retransmitted: 0,
            rto: Duration::from_millis(204),
            srtt: Some(Duration::from_micros(300)),
            snd_una: 1_000,
            snd_nxt: 1_000,
            rcv_nxt: 2_000,
            window: 500,
            timestamps: Some(Timestamps { value: 1, echo: 2 }),
            hop_limit: None,
            traffic_class: 0,
            mark: 0,
            signed: peer == Peer::Signed,
            soft_error: None,
            mptcp: false,
            orphan: false,
            keepalive: false,
        };
        Self {
            glance,
            heard: Duration::ZERO,
            comes: None,
            gone: (peer == Peer::Closed).then_some(Gone::Closed),
            probes: 0,
        }
    }

    fn seen(&mut self, now: Duration) -> Seen {
        if let Some((at, came)) = self.comes
            && at <= now
        {
            self.comes = None;
            self.glance.segs_in += 1;
            match came {
                Came::Ack => {
                    self.heard = at;
                    self.glance.silence = Duration::ZERO;
                }
                Came::Reset => self.gone = Some(Gone::Reset),
            }
        }
        match self.gone {
            Some(gone) => Seen::Gone(gone),
            None => Seen::Glance(Glance {
                silence: self.glance.silence + now - self.heard,
                ..self.glance
            }),
        }
    }
}

/// Sockets of every kind, two dead ones among them.
pub(crate) fn everyone() -> Vec<(Connection, Peer)> {
    let mut kinds: Vec<_> = [
        Peer::Answers(Duration::from_micros(140)),
        Peer::Answers(Duration::from_millis(43)),
        Peer::Silent,
        Peer::Unreachable,
        Peer::Resets,
        Peer::Signed,
        Peer::Firewalled,
        Peer::Late(3),
    ]
    .into_iter()
    .zip(1..)
    .map(|(peer, cookie)| (client(cookie), peer))
    .collect();
    let mut shared = client(20);
    shared.id.local = sample::end("2001:db8::1", 6379);
    shared.id.remote = sample::end("2001:db8:1234:5678:9abc:def0:1234:5678", 51_234);
    shared.owner.processes = vec![
        sample::process(4_000_001, 3, b"\x1b[31mevil,\"\xff"),
        sample::process(4_000_002, 3, b"worker"),
    ];
    shared.state = TcpState::CloseWait;
    kinds.push((shared, Peer::Answers(Duration::from_millis(1_200))));
    let mut orphan = client(21);
    orphan.state = TcpState::FinWait2;
    orphan.owner.processes.clear();
    orphan.owner.unseen = Some(Unseen::NoProcess);
    kinds.push((orphan, Peer::Silent));
    kinds.push((client(22), Peer::Closed));
    kinds.push((sample::listener(), Peer::Silent));
    kinds.push((sample::time_wait(), Peer::Silent));
    kinds
}
