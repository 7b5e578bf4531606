//! The same where sockets are set by a walk through the kernel's own table.

use std::collections::BTreeMap;

use sockpulse_bpf::Order;
use sockpulse_core::{NetnsId, Observed, Process};

use super::*;
use crate::error::ErrorKind;
use crate::walk::Pacer;

/// How a walk goes.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Sockets that it does not come by.
    unmet: Vec<u64>,
    /// After how many it breaks off.
    breaks_after: Option<usize>,
}

/// Comes by the last one first.
pub(super) fn walk(
    orders: &mut dyn ExactSizeIterator<Item = Order>,
    namespaces: &BTreeMap<NetnsId, usize>,
    pacer: &mut dyn Pacer,
) -> Result<(), CommandError> {
    let count = orders.len();
    let mut orders: Vec<_> = orders.enumerate().collect();
    assert_eq!((orders.len(), namespaces.values().sum()), (count, count));
    let (unmet, breaks_after) = world(|world| {
        let walk = world.walk.as_ref().unwrap();
        (walk.unmet.clone(), walk.breaks_after)
    });
    orders.reverse();
    orders.retain(|(_, order)| !unmet.contains(&order.cookie.0));
    let mut done = 0;
    while done < orders.len() {
        let until = orders.len().min(done + pacer.turn());
        for (number, order) in &orders[done..until] {
            if breaks_after == Some(done) {
                let error = CommandError::new(ErrorKind::Incomplete, "failed to read from it");
                return Err(error);
            }
            pacer.told(*number, set(order));
            done += 1;
        }
    }
    Ok(())
}

fn set(order: &Order) -> Result<(), NotSet> {
    let expected = Expected {
        timers: order.before,
        silence: order.silence,
    };
    let nobody = Process {
        pid: 0,
        fd: 0,
        comm: sockpulse_core::Comm::new(b""),
    };
    Pretended
        .set_socket(nobody, order.cookie, &expected, &order.step)
        .map(drop)
}

fn begin(walk: Walk) -> State {
    fresh();
    world(|world| world.walk = Some(walk));
    State::new()
}

fn is_on(cookie: u64) -> bool {
    timers(cookie).keepalive
}

#[test]
fn what_no_process_holds_is_set_and_put_back() {
    let state = begin(Walk::default());
    let text = state.all(&["protect --existing --idle 60s --spread 0", "undo"]);
    insta::assert_snapshot!(text);
    assert!(!is_on(302));
    state.run("undo 2");
    assert!(is_on(302) && is_on(100));
    let journal = std::fs::read_to_string(state.0.path().join("connections-1.jsonl")).unwrap();
    assert_eq!(journal.matches("\"pid\":null").count(), 1);
    assert!(journal.ends_with("{\"concluded\":202,\"left\":{}}\n"));
}

/// Another namespace, or closed: through its process, if it has one.
#[test]
fn what_a_walk_does_not_meet_is_tried_through_its_process() {
    let state = begin(Walk {
        unmet: vec![100, 101, 302],
        breaks_after: None,
    });
    world(|world| {
        world.refuse = vec![(101, NotSet::Unreached(Unseen::Vanished))];
    });
    insta::assert_snapshot!(state.run("protect --existing --idle 60s --spread 0"));
    assert!(is_on(100) && is_on(102) && !is_on(101) && !is_on(302));
}

/// What was set since the last answer is not known: the journal claims nothing, and undo looks.
#[test]
fn a_walk_that_breaks_off_claims_nothing() {
    let state = begin(Walk {
        unmet: Vec::new(),
        breaks_after: Some(7),
    });
    let text = state.run("protect --existing --idle 60s --spread 0");
    let journal = std::fs::read_to_string(state.0.path().join("connections-1.jsonl")).unwrap();
    assert!(!journal.contains("concluded"), "{journal}");
    let on = |world: &mut World| {
        let mut sockets = world.sockets.iter();
        let on =
            |one: &&Connection| matches!(one.settings, Observed::Known(timers) if timers.keepalive);
        sockets.by_ref().filter(on).count()
    };
    // One had it before.
    assert_eq!(world(on), 8);
    world(|world| world.walk = Some(Walk::default()));
    insta::assert_snapshot!([text, state.run("undo")].join("\n"));
    assert_eq!(world(on), 1);
}

#[test]
fn a_paced_walk_is_spread() {
    let state = begin(Walk::default());
    let started = std::time::Instant::now();
    let text = state.run("protect --existing --idle 60s --spread 1500ms");
    assert!(started.elapsed().as_millis() >= 1_500, "{text}");
    assert!(is_on(100) && is_on(299) && is_on(302));
}
