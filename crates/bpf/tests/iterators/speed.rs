//! How fast reading is: printed, not asserted (`--no-capture` shows it).

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sockpulse_bpf::glance::{Endings, Glances};
use sockpulse_bpf::{Counting, IterTcp, Reader, TaskFile, records};
use sockpulse_core::Hz;

use crate::common::*;
use crate::glances::whom;
use crate::wire::reset_on_close;

/// Connections; both ends are in this process, which may hold 20,000 descriptors on a small machine.
const CONNECTIONS: usize = 9_900;

#[test]
fn root_speed_is_printed() {
    in_namespace(|| {
        let connections = room_for(CONNECTIONS);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let pairs: Vec<_> = (0..connections)
            .map(|_| (TcpStream::connect(at).unwrap(), listener.accept().unwrap()))
            .collect();
        let sockets = pairs.len() * 2 + 1;
        println!(
            "{sockets} sockets, records of {} bytes",
            size_of::<sockpulse_bpf::Record>()
        );

        let started = Instant::now();
        let task_file = TaskFile::load().unwrap();
        println!("loading task_file: {:?}", started.elapsed());
        let me = Some(std::process::id());
        let read = |name, open: &dyn Fn() -> Reader, hz: Option<Hz>| {
            let best = (0..5).map(|_| walk(open(), hz)).min().unwrap();
            print(name, best.1, best.0);
            assert_eq!(best.1, sockets);
        };
        read(
            "task_file, bytes only",
            &|| task_file.open(me).unwrap(),
            None,
        );
        read(
            "task_file, connections",
            &|| task_file.open(me).unwrap(),
            Some(hz()),
        );
        let iter_tcp = IterTcp::load(accepted()).unwrap();
        read("iter/tcp, bytes only", &|| iter_tcp.open().unwrap(), None);
        read(
            "iter/tcp, connections",
            &|| iter_tcp.open().unwrap(),
            Some(hz()),
        );
        for (name, counting) in [
            ("task_file, count only", Counting::task_file().unwrap()),
            (
                "iter/tcp, count only",
                Counting::iter_tcp(accepted()).unwrap(),
            ),
        ] {
            let started = Instant::now();
            let counted = usize::try_from(counting.run().unwrap()).unwrap();
            print(name, counted, started.elapsed());
            assert!(counted >= sockets);
        }
    });
}

#[test]
fn root_speed_of_looks_is_printed() {
    in_namespace(|| {
        let started = Instant::now();
        let mut glances = Glances::load(hz()).unwrap();
        println!("loading: {:?}", started.elapsed());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let pairs: Vec<_> = (0..room_for(9_900))
            .map(|_| {
                (
                    TcpStream::connect(at).unwrap(),
                    listener.accept().unwrap().0,
                )
            })
            .collect();
        let whom: Vec<_> = pairs.iter().map(|(client, _)| whom(client)).collect();
        for count in [1, 10, 100, 1000, 10_000] {
            let some = &whom[..whom.len().min(count)];
            let mut answers = Vec::with_capacity(some.len());
            let rounds = (0..50).map(|_| {
                answers.clear();
                let started = Instant::now();
                glances.look(some, &mut answers).unwrap();
                started.elapsed()
            });
            let best = rounds.min().unwrap();
            assert!(answers.iter().all(|look| look.glance().is_some()));
            let each = best.as_nanos() / u128::try_from(some.len()).unwrap();
            println!("{} looks in {best:?}, {each} ns each", some.len());
        }
    });
}

#[test]
fn root_the_cost_of_watching_endings_is_printed() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let connect = || {
            let started = Instant::now();
            for _ in 0..500 {
                let client = TcpStream::connect(at).unwrap();
                let (server, _) = listener.accept().unwrap();
                reset_on_close(&client);
                drop((client, server));
            }
            started.elapsed() / 500
        };
        let best = |round: &dyn Fn() -> Duration| (0..15).map(|_| round()).min().unwrap();
        let without = best(&connect);
        let mut endings = Endings::load(1000).unwrap();
        endings.watch(&[cookie(&listener)]).unwrap();
        let with = best(&connect);
        println!("a connection takes {without:?}, and {with:?} while others are watched");
    });
}

fn walk(mut reader: Reader, hz: Option<Hz>) -> (Duration, usize) {
    let mut buffer = vec![0; 65536];
    let started = Instant::now();
    let mut seen = 0;
    loop {
        let len = reader.read(&mut buffer).unwrap();
        if len == 0 {
            return (started.elapsed(), seen);
        }
        let records = records(&buffer[..len]);
        seen += match hz {
            None => records.len(),
            Some(hz) => records
                .iter()
                .filter(|record| std::hint::black_box(record.connection(hz)).is_some())
                .count(),
        };
    }
}

fn print(name: &str, sockets: usize, time: Duration) {
    let each = time.as_nanos() / u128::try_from(sockets.max(1)).unwrap();
    println!("{name}: {sockets} in {time:?}, {each} ns each");
}
