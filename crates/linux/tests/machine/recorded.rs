//! A dump as Linux 6.18 gave it: read on any machine, cut and damaged in every way.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use proptest::prelude::*;
use sockpulse_core::{Family, NetnsId, TcpState};
use sockpulse_linux::sock_diag::{DumpEnd, Query, Socket, States, TcpInfo, messages};

use crate::common::{isolated, sh, wait_for};
use crate::scene::Scene;

/// Datagrams, each after its length in four bytes, little-endian.
const RECORDED: &[u8] = include_bytes!("../fixtures/sock_diag-6.18.bin");

fn datagrams() -> impl Iterator<Item = &'static [u8]> {
    let mut rest = RECORDED;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        let (datagram, tail) = tail.split_at(length);
        rest = tail;
        Some(datagram)
    })
}

/// Reads everything in a datagram; must not panic, whatever it holds.
fn read(datagram: &[u8]) -> usize {
    messages(datagram)
        .filter_map(Result::ok)
        .filter_map(|message| {
            let _flags = message.flags();
            message.connection(NetnsId(1))
        })
        .count()
}

#[test]
fn the_recorded_dump_is_read() {
    let mut states = BTreeMap::<TcpState, u32>::new();
    let mut mptcp = 0;
    for datagram in datagrams() {
        for message in messages(datagram) {
            let connection = message.unwrap().connection(NetnsId(1)).unwrap();
            *states.entry(connection.state).or_default() += 1;
            mptcp += u32::from(connection.mptcp);
            let is_six = connection.family == Family::Ipv6;
            assert_eq!(connection.id.local.addr.is_ipv6(), is_six);
            assert_ne!(connection.id.local.port, 0);
        }
    }
    let count = |state| states.get(&state).copied().unwrap_or(0);
    assert_eq!(count(TcpState::Listen), 6);
    assert_eq!(count(TcpState::SynSent), 1);
    assert_eq!(count(TcpState::SynReceived), 1);
    assert_eq!(count(TcpState::TimeWait), 1);
    assert_eq!(count(TcpState::FinWait1), 1);
    assert_eq!(count(TcpState::FinWait2), 3);
    assert_eq!(count(TcpState::CloseWait), 3);
    assert!(count(TcpState::Established) > 10);
    assert!(mptcp >= 2);
}

#[test]
fn every_truncation_is_refused_or_read() {
    for datagram in datagrams() {
        let whole = read(datagram);
        for length in 0..datagram.len() {
            assert!(read(&datagram[..length]) <= whole);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        read(&bytes);
    }

    #[test]
    fn damaged_dumps_do_no_harm(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = datagrams().filter(|datagram| !datagram.is_empty()).collect();
        let mut bytes = all[which.index(all.len())].to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        read(&bytes);
        bytes.truncate(length.index(bytes.len()));
        read(&bytes);
    }
}

/// Records a new dump: run it alone, with `--run-ignored=only`.
#[test]
#[ignore = "writes the fixture that the others read"]
fn root_record() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/sock_diag-6.18.bin"
    );
    isolated("recorded::root_record", || {
        let _scene = Scene::open();
        wait_for("the states to settle", || {
            let closing = sh("ss -Htn state fin-wait-1 state closing state last-ack");
            (closing.lines().count() == 1).then_some(())
        });
        let mut file = std::fs::File::create(path).unwrap();
        let mut socket = Socket::open().unwrap();
        for family in [Family::Ipv4, Family::Ipv6] {
            let query = Query {
                family,
                states: States::ALL,
                info: TcpInfo::With,
            };
            let end = socket.dump(&query, |datagram| {
                let length = u32::try_from(datagram.len()).unwrap();
                file.write_all(&length.to_le_bytes()).unwrap();
                file.write_all(datagram).unwrap();
                ControlFlow::Continue(())
            });
            assert_eq!(end, Ok(DumpEnd::Complete));
        }
    });
}
