//! The threads that read: each sends batches of what the kernel said, and none of them judges.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use sockpulse_bpf::{IterTcp, Reader, TaskFile};
use sockpulse_core::{Connection, Gap, NetnsId};
use sockpulse_linux::netns::Netns;
use sockpulse_linux::sock_diag::{self, DumpEnd, Socket, States, TcpInfo};

use super::cookies::CookieSet;

/// The kernel gives out an iterator's records and dump messages in pieces of at most 32 KiB.
const BUFFER: usize = 64 * 1024;

/// How often a dump is tried that the kernel calls interrupted.
const DUMPS: usize = 3;

/// What a reading thread sends to the one that joins.
pub(super) enum Batch {
    /// Records of `task_file`, of all namespaces.
    TaskFile(Vec<u8>),
    /// Records of `iter/tcp` of one namespace.
    IterTcp(NetnsId, Vec<u8>),
    /// What sock_diag showed.
    Diag(Vec<Connection>),
    /// Sockets that a process should show: only their cookies, to see that none is missed.
    Owned(NetnsId, Vec<u64>),
    /// Something could not be read.
    Gap(Gap),
}

/// The joining side is gone, because its output is: there is nothing left to do.
pub(super) struct Closed;

/// Where a reading thread sends to.
pub(super) type Sender = SyncSender<Batch>;

fn send(to: &Sender, batch: Batch) -> Result<(), Closed> {
    to.send(batch).map_err(|_| Closed)
}

/// Reads every descriptor of every process.
pub(super) fn task_file(reader: &TaskFile, to: &Sender) -> Result<(), Closed> {
    let what = "the sockets of all processes";
    match reader.open(None) {
        Ok(reader) => drain(reader, what, to, Batch::TaskFile),
        Err(error) => send(to, failed(what, &error)),
    }
}

/// What to read in each namespace.
pub(super) enum Walk<'a> {
    /// Everything that sock_diag knows.
    All,
    /// What no process shows, by sock_diag; the cookies of the rest.
    Unowned,
    /// The same by `iter/tcp`.
    IterTcp(&'a IterTcp),
    /// Only these sockets, by sock_diag.
    Only(&'a CookieSet),
}

/// Walks namespaces on `threads` threads, each namespace on a thread of its own that entered it.
pub(super) fn namespaces(namespaces: &[(&Netns, Walk<'_>)], threads: usize, to: &Sender) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, namespaces.len().max(1)) {
            scope.spawn(|| {
                while let Some((netns, walk)) = namespaces.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let end = netns.enter_and(|| one_namespace(netns.id, walk, to));
                    let sent = match end {
                        Ok(sent) => sent,
                        Err(error) => send(to, Batch::Gap(netns.gap(&error))),
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn one_namespace(netns: NetnsId, walk: &Walk<'_>, to: &Sender) -> Result<(), Closed> {
    if let Walk::IterTcp(iterator) = walk {
        return iter_tcp(iterator, netns, to);
    }
    let what = format!("the sockets of network namespace {}", netns.0);
    // The joining side drops what it has seen, so that an interrupted dump can simply be repeated.
    for _ in 0..DUMPS {
        match dump(netns, walk, to)? {
            Ok(DumpEnd::Complete | DumpEnd::Stopped) => return Ok(()),
            Ok(DumpEnd::Interrupted) => {}
            Err(error) => return send(to, failed(&what, &error)),
        }
    }
    let why = format!("the kernel's table changed during each of {DUMPS} dumps");
    send(
        to,
        Batch::Gap(Gap {
            what: format!("some of {what}"),
            why,
            remedy: None,
        }),
    )
}

fn dump(
    netns: NetnsId,
    walk: &Walk<'_>,
    to: &Sender,
) -> Result<sockpulse_linux::Result<DumpEnd>, Closed> {
    let info = match walk {
        Walk::Unowned => TcpInfo::Without,
        _ => TcpInfo::With,
    };
    let mut outcome = Ok(());
    let mut lookup = Lookup::default();
    let end = Socket::open().and_then(|mut socket| {
        socket.dump_both(States::ALL, info, |batch| {
            outcome = match walk {
                Walk::All => all(netns, batch, to),
                Walk::Unowned => unowned(netns, batch, &mut lookup, to),
                Walk::Only(wanted) => only(netns, batch, wanted, to),
                Walk::IterTcp(_) => Ok(()),
            };
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(Closed) => ControlFlow::Break(()),
            }
        })
    });
    outcome?;
    Ok(end)
}

/// A second sock_diag socket for exact questions while a dump runs on the first.
#[derive(Default)]
struct Lookup(Option<Socket>);

impl Lookup {
    /// The socket once more, with tcp_info; `None` when it is gone meanwhile.
    fn with_info(&mut self, connection: &Connection) -> Option<Connection> {
        if self.0.is_none() {
            self.0 = Socket::open().ok();
        }
        let asked = self
            .0
            .as_mut()?
            .lookup(&connection.id, connection.ifindex, TcpInfo::With);
        let answer = asked.ok()??;
        sock_diag::messages(&answer)
            .flatten()
            .next()?
            .connection(connection.id.netns)
    }
}

fn all(netns: NetnsId, batch: &[u8], to: &Sender) -> Result<(), Closed> {
    let messages = sock_diag::messages(batch).flatten();
    send_some(
        to,
        messages
            .filter_map(|message| message.connection(netns))
            .collect(),
    )
}

fn only(netns: NetnsId, batch: &[u8], wanted: &CookieSet, to: &Sender) -> Result<(), Closed> {
    let messages = sock_diag::messages(batch).flatten();
    let wanted = messages.filter(|message| wanted.contains(message.cookie().0));
    send_some(
        to,
        wanted
            .filter_map(|message| message.connection(netns))
            .collect(),
    )
}

fn unowned(netns: NetnsId, batch: &[u8], lookup: &mut Lookup, to: &Sender) -> Result<(), Closed> {
    let (mut connections, mut cookies) = (Vec::new(), Vec::new());
    for message in sock_diag::messages(batch).flatten() {
        if message.inode() != 0 {
            cookies.push(message.cookie().0);
        } else if let Some(connection) = message.connection(netns) {
            connections.push(match connection.state.has_peer() {
                true => lookup.with_info(&connection).unwrap_or(connection),
                false => connection,
            });
        }
    }
    if !cookies.is_empty() {
        send(to, Batch::Owned(netns, cookies))?;
    }
    send_some(to, connections)
}

fn send_some(to: &Sender, connections: Vec<Connection>) -> Result<(), Closed> {
    if connections.is_empty() {
        Ok(())
    } else {
        send(to, Batch::Diag(connections))
    }
}

fn iter_tcp(iterator: &IterTcp, netns: NetnsId, to: &Sender) -> Result<(), Closed> {
    let what = format!("the sockets of network namespace {}", netns.0);
    match iterator.open() {
        Ok(reader) => drain(reader, &what, to, |records| Batch::IterTcp(netns, records)),
        Err(error) => send(to, failed(&what, &error)),
    }
}

fn drain(
    mut reader: Reader,
    what: &str,
    to: &Sender,
    batch: impl Fn(Vec<u8>) -> Batch,
) -> Result<(), Closed> {
    loop {
        let mut buffer = vec![0; BUFFER];
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                buffer.truncate(read);
                send(to, batch(buffer))?;
            }
            Err(error) => return send(to, failed(what, &error)),
        }
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Batch {
    Batch::Gap(Gap {
        what: what.to_owned(),
        why: chain(error),
        remedy: None,
    })
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("failed to {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
