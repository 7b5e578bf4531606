//! Without the kernel's help.

use std::process::Command;

use crate::is_root;
use crate::kit::listing::{SOCKPULSE, run};
use crate::kit::netns::Netns;
use crate::kit::pair::{Pair, VANISHING};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::sys::forbid_bpf;
use crate::kit::truth::Truth;
use crate::watcher::Watcher;

#[test]
fn root_without_bpf_two_looks_are_compared() {
    if !is_root("root_without_bpf_two_looks_are_compared") {
        return;
    }
    let pair = Pair::new();
    let mut watcher = pair.here.run(|| {
        forbid_bpf();
        let words = [
            "--netns",
            "self",
            "--every",
            "100ms",
            "--events",
            "opened,probing,died",
        ];
        Watcher::start(&pair.here, &words)
    });
    let listener = listen(&pair.there, VANISHING, 0);
    let (near, _far) = connected(&pair.here, VANISHING, &listener);
    let cookie = Truth::of(&near).cookie;
    let opened = watcher.event("opened", cookie);
    assert_eq!(opened.line["source"], "scan");
    assert_eq!(
        opened.line["side"],
        serde_json::Value::Null,
        "that is not seen"
    );
    assert_eq!(opened.line["owner"]["pid"], std::process::id());
    Options::own(1, 1, 3).apply(&near);
    pair.vanish();
    watcher.event("probing", cookie);
    // Whether it died or was closed is not seen.
    let gone = watcher.event("gone", cookie);
    assert_eq!(gone.line["source"], "scan");
    let ended = watcher.end();
    assert_eq!(ended.summary["source"], "scan");
    assert!(ended.told.iter().all(|told| told.line["event"] != "died"));
}

/// Who asks for the kernel's word and may not have it is told which right is missing.
#[test]
fn root_without_rights_the_capability_is_named() {
    if !is_root("root_without_rights_the_capability_is_named") {
        return;
    }
    let netns = Netns::anonymous();
    let ran = netns.run(|| {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps", "-all", "--bounding-set", "-all"]);
        command.args([SOCKPULSE, "watch", "--method", "bpf", "--netns", "self"]);
        run(&mut command)
    });
    assert_eq!(ran.status, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains("CAP_PERFMON"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("--source"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--method scan"), "{}", ran.stderr);
}
