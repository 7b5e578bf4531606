//! Connections in every state, and those that no program holds.

use std::net::Shutdown;

use serde_json::Value;

use crate::kit::deadline::wait_for;
use crate::kit::pair::{HERE, THERE};
use crate::kit::socket::{connect, connected, listen, wait_for_state};
use crate::kit::ss::ss;
use crate::kit::sys;
use crate::kit::truth::Truth;
use crate::{Stage, deafen};

const FIN_WAIT_2: u8 = 5;
const CLOSE_WAIT: u8 = 8;

#[test]
fn root_every_state_with_a_peer_is_asked() {
    let Some(stage) = Stage::new("root_every_state_with_a_peer_is_asked") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let pair = || connected(&stage.pair.here, THERE, &listener);
    let (plain, _plain) = pair();
    let (half, _half) = pair();
    half.shutdown(Shutdown::Write).unwrap();
    wait_for_state(&half, FIN_WAIT_2);
    let (left, peer) = pair();
    drop(peer);
    wait_for_state(&left, CLOSE_WAIT);

    // A whole socket, which only the kernel holds.
    let (orphan, _orphan) = pair();
    sys::set_linger2(&orphan, 118);
    orphan.shutdown(Shutdown::Write).unwrap();
    wait_for_state(&orphan, FIN_WAIT_2);
    let orphaned = Truth::of(&orphan).cookie;
    drop(orphan);

    // Nobody has accepted it.
    let own = listen(&stage.pair.here, HERE, 0);
    let port = own.local_addr().unwrap().port();
    let _waiting = connect(&stage.pair.there, HERE, port);

    // Not a socket any more.
    let (ended, last) = pair();
    let entry = Truth::of(&ended).cookie;
    drop(ended);
    wait_for_state(&last, CLOSE_WAIT);
    drop(last);
    wait_for("TIME-WAIT", || {
        (ss(&stage.pair.here).get(&entry)?.state == "time-wait").then_some(())
    });

    let answers = stage.ping(&[]);
    assert_eq!(answers.ran.status, Some(0), "{}", answers.ran.stderr);
    for (socket, state) in [
        (&plain, "established"),
        (&half, "fin-wait-2"),
        (&left, "close-wait"),
    ] {
        let answer = answers.about(socket);
        assert_eq!(
            (&answer["verdict"], &answer["state"]),
            (&"alive".into(), &state.into())
        );
    }
    let answer = answers.of_cookie(orphaned).unwrap();
    assert_eq!(
        (&answer["verdict"], &answer["owner"]["pid"]),
        (&"alive".into(), &Value::Null)
    );
    let results = answers.document["results"].as_array().unwrap();
    let waiting = results
        .iter()
        .find(|one| one["local"]["port"] == port)
        .unwrap();
    assert_eq!(waiting["verdict"], "alive", "{waiting}");
    assert_eq!(waiting["owner"]["unknown"], "no-process");
    assert_eq!(answers.document["left_out"]["listen"], 1);
    assert_eq!(answers.document["left_out"]["time-wait"], 1);
    assert_eq!(answers.of_cookie(entry), None);

    // What lingers and gets no answer is dead like others.
    deafen(&stage.pair.there);
    let answers = stage.ping(&["--probes", "2", "--state", "fin-wait-2"]);
    assert_eq!(answers.document["dead"], 2, "{}", answers.document);
}
