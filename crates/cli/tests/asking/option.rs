//! Asking by options of the socket, without BPF and raw sockets.

use std::process::Command;

use crate::kit::deadline::wait_for;
use crate::kit::listing::{SOCKPULSE, run};
use crate::kit::pair::THERE;
use crate::kit::socket::{connected, listen};
use crate::kit::truth::{Moment, Truth};
use crate::{Answers, Stage, doomed};

#[test]
fn root_without_bpf_options_serve() {
    let Some(stage) = Stage::new("root_without_bpf_options_serve") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let vanishing = listen(&stage.pair.there, crate::VANISHING, 0);
    let alive = connected(&stage.pair.here, THERE, &listener);
    let dead = doomed(&stage, &vanishing);
    stage.pair.vanish();
    wait_for("silence", || {
        (Moment::of(&dead.0).silence_ms > 1_000).then_some(())
    });
    let ran = stage.pair.here.run(|| {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set",
            "-net_raw,-bpf,-perfmon,-sys_admin,-net_admin",
        ]);
        command.args(["--inh-caps", "-net_raw,-bpf,-perfmon,-sys_admin,-net_admin"]);
        command.arg(SOCKPULSE);
        command.args(["ping", "-o", "json", "--netns", "self", "--probes", "2"]);
        command.arg("--state-dir").arg(stage.state.path());
        run(&mut command)
    });
    assert!(
        ran.stderr.contains("asked by method option"),
        "{}",
        ran.stderr
    );
    let answers = Answers::of(ran);
    assert_eq!(answers.document["method"], "option");
    assert_eq!(answers.verdict(&alive.0), "alive");
    assert_eq!(answers.verdict(&dead.0), "dead");
    for (here, _) in [&alive, &dead] {
        let truth = Truth::of(here);
        assert!(!truth.keepalive);
        assert_eq!(
            (truth.idle_s, truth.interval_s, truth.probes),
            (7_200, 75, 9)
        );
    }
    assert_eq!(answers.document["pinned"], 2, "{}", answers.document);
    let told = std::fs::read_to_string(stage.state.path().join("connections-1.jsonl")).unwrap();
    assert_eq!(told.matches("\"idle_s\":7200").count(), 2, "{told}");
    assert!(
        answers.ran.stderr.contains("of their own from now on"),
        "{}",
        answers.ran.stderr
    );
}

/// The right to send is missing, and BPF is not.
#[test]
fn root_without_the_right_to_send_options_serve() {
    let Some(stage) = Stage::new("root_without_the_right_to_send_options_serve") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let alive = connected(&stage.pair.here, THERE, &listener);
    let ask = |method: &str| {
        stage.pair.here.run(|| {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]);
            command.arg(SOCKPULSE);
            command.args(["ping", "-o", "json", "--netns", "self", "--method", method]);
            command.arg("--state-dir").arg(stage.state.path());
            run(&mut command)
        })
    };
    let ran = ask("raw");
    assert_eq!(ran.status, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains("CAP_NET_RAW"), "{}", ran.stderr);
    let answers = Answers::of(ask("auto"));
    assert_eq!(answers.document["method"], "option");
    assert_eq!(answers.verdict(&alive.0), "alive");
    assert!(
        answers.ran.stderr.contains("asked by method option"),
        "{}",
        answers.ran.stderr
    );
}
