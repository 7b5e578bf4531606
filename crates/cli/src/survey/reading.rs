//! The threads that read: each sends batches of what the kernel said, and none of them judges.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use sockpulse_bpf::{IterTcp, Reader, TaskFile};
use sockpulse_core::{Connection, Gap, NetnsId};
use sockpulse_linux::netns::Netns;
use sockpulse_linux::sock_diag::{self, DiagMessage, DumpEnd, Socket, States, TcpInfo};

use super::cookies::CookieSet;

/// The kernel gives out an iterator's records in pieces of at most this much.
const PIECE: usize = 32 * 1024;

/// Several pieces go to the joining side at once: waking it costs more than waiting for them.
const BUFFER: usize = 3 * PIECE;

/// The same for cookies.
const COOKIES: usize = 4096;

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
    let (mut lookup, mut owned) = (Lookup::default(), Vec::new());
    let mut unreadable = None;
    let end = Socket::open().and_then(|mut socket| {
        socket.dump_both(States::ALL, info, |batch| {
            let messages = readable(batch, &mut unreadable);
            outcome = match walk {
                Walk::All => all(netns, messages, to),
                Walk::Unowned => unowned(netns, messages, &mut lookup, &mut owned, to),
                Walk::Only(wanted) => only(netns, messages, wanted, to),
                Walk::IterTcp(_) => Ok(()),
            };
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(Closed) => ControlFlow::Break(()),
            }
        })
    });
    outcome?;
    send_owned(to, netns, &mut owned, 1)?;
    Ok(match unreadable {
        Some(error) => Err(error),
        None => end,
    })
}

/// The messages that can be read. Another one is a socket that is missed: its error is kept.
fn readable<'a>(
    batch: &'a [u8],
    unreadable: &'a mut Option<sockpulse_linux::Error>,
) -> impl Iterator<Item = DiagMessage<'a>> {
    sock_diag::messages(batch).filter_map(|message| match message {
        Ok(message) => Some(message),
        Err(error) => {
            unreadable.get_or_insert(error);
            None
        }
    })
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

fn all<'a>(
    netns: NetnsId,
    messages: impl Iterator<Item = DiagMessage<'a>>,
    to: &Sender,
) -> Result<(), Closed> {
    let connections = messages.filter_map(|message| message.connection(netns));
    send_some(to, connections.collect())
}

fn only<'a>(
    netns: NetnsId,
    messages: impl Iterator<Item = DiagMessage<'a>>,
    wanted: &CookieSet,
    to: &Sender,
) -> Result<(), Closed> {
    let wanted = messages.filter(|message| wanted.contains(message.cookie().0));
    all(netns, wanted, to)
}

fn unowned<'a>(
    netns: NetnsId,
    messages: impl Iterator<Item = DiagMessage<'a>>,
    lookup: &mut Lookup,
    owned: &mut Vec<u64>,
    to: &Sender,
) -> Result<(), Closed> {
    let mut connections = Vec::new();
    for message in messages {
        if message.inode() != 0 {
            owned.push(message.cookie().0);
            continue;
        }
        let Some(mut connection) = message.connection(netns) else {
            continue;
        };
        if connection.state.has_peer() {
            connection = lookup.with_info(&connection).unwrap_or(connection);
        }
        // A program has accepted it just now: its descriptor shows it.
        match connection.inode {
            0 => connections.push(connection),
            _ => owned.push(connection.id.cookie.0),
        }
    }
    send_owned(to, netns, owned, COOKIES)?;
    send_some(to, connections)
}

fn send_owned(
    to: &Sender,
    netns: NetnsId,
    owned: &mut Vec<u64>,
    least: usize,
) -> Result<(), Closed> {
    if owned.len() < least {
        return Ok(());
    }
    send(to, Batch::Owned(netns, std::mem::take(owned)))
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
        let (mut buffer, mut filled) = (vec![0; BUFFER], 0);
        let end = loop {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) => break Some(Ok(())),
                Ok(read) => filled += read,
                Err(error) => break Some(Err(error)),
            }
            if buffer.len() - filled < PIECE {
                break None;
            }
        };
        buffer.truncate(filled);
        if filled > 0 {
            send(to, batch(buffer))?;
        }
        match end {
            None => {}
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => return send(to, failed(what, &error)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use sockpulse_linux::sock_diag::Query;

    /// The datagrams of a dump of our own namespace.
    fn dumped() -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        let query = Query {
            family: sockpulse_core::Family::Ipv4,
            states: States::only(sockpulse_core::TcpState::Listen),
            info: TcpInfo::With,
        };
        let end = Socket::open().unwrap().dump(&query, |batch| {
            batches.push(batch.to_vec());
            ControlFlow::Continue(())
        });
        assert!(end.is_ok());
        batches
    }

    #[test]
    fn a_message_that_cannot_be_read_is_not_passed_over_in_silence() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let batches = dumped();
        let batch = batches.iter().max_by_key(|batch| batch.len()).unwrap();
        let mut unreadable = None;
        let whole = readable(batch, &mut unreadable).count();
        assert!(whole > 0 && unreadable.is_none());
        // A message begins with sixteen bytes of netlink's and has at least seventy-two of its own.
        assert_eq!(readable(&batch[..80], &mut unreadable).count(), 0);
        assert!(unreadable.is_some());
    }
}
