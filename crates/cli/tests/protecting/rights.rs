//! Without rights.

use crate::Stage;
use crate::kit::listing::{SOCKPULSE, run};
use crate::kit::pair::THERE;
use crate::kit::socket::{connected, listen};
use crate::kit::truth::Truth;
use std::process::Command;

/// A user without rights is told which one is missing, and changes nothing of others.
#[test]
fn root_without_rights_the_capability_is_named() {
    let Some(stage) = Stage::new("root_without_rights_the_capability_is_named") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends = connected(&stage.pair.here, THERE, &listener);
    let copy = stage.state.path().join("sockpulse");
    std::fs::copy(SOCKPULSE, &copy).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(stage.state.path(), open).unwrap();
    let nobody = |words: &[&str]| {
        stage.pair.here.run(|| {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&copy)
                .args(words);
            run(&mut command)
        })
    };
    // The journal is root's.
    let ran = nobody(&[
        "protect",
        "--existing",
        "--idle",
        "60",
        "--dry-run",
        "--netns",
        "self",
    ]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: run as root"), "{}", ran.stderr);
    assert!(!Truth::of(&ends.0).keepalive);
}
