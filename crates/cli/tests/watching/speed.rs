//! How soon a death is told.

use std::time::Duration;

use crate::is_root;
use crate::kinds::reset;
use crate::kit::pair::{Pair, THERE, VANISHING};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::Truth;
use crate::watcher::Watcher;

const SOON: Duration = Duration::from_millis(50);

/// By a timer and by a RST, one after the other, so that none is told with the next.
#[test]
fn root_deaths_are_told_at_once() {
    if !is_root("root_deaths_are_told_at_once") {
        return;
    }
    let pair = Pair::new();
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self"]);
    let mut delays = Vec::new();
    let living = listen(&pair.there, THERE, 0);
    for _ in 0..10 {
        let (near, far) = connected(&pair.here, THERE, &living);
        reset(&far);
        drop(far);
        delays.push(watcher.event("died", Truth::of(&near).cookie).delay());
    }
    let vanishing = listen(&pair.there, VANISHING, 0);
    let ends = [(); 5].map(|()| connected(&pair.here, VANISHING, &vanishing));
    pair.vanish();
    for (near, _) in &ends {
        Options::own(1, 1, 1).apply(near);
    }
    for (near, _) in &ends {
        delays.push(watcher.event("died", Truth::of(near).cookie).delay());
    }
    println!("told after {delays:?}");
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
}
