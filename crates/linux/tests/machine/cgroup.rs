//! Places of sockets on this machine.

use sockpulse_core::{CgroupId, Place};
use sockpulse_linux::Proc;
use sockpulse_linux::cgroup::Places;

#[test]
fn a_sockets_place_is_its_processs() {
    let proc = Proc::default();
    let pid = std::process::id();
    let path = proc.cgroup(pid).unwrap().unwrap();
    let mut places = Places::new(proc);
    let place = places.place(None, Some(pid));
    assert_eq!(place, &Place::from_cgroup(&path));
    assert_eq!(place.cgroup, path);
    // An id that no cgroup has says nothing; the process does.
    let place = places.place(Some(CgroupId(u64::MAX)), Some(pid));
    assert_eq!(place.cgroup, path);
}
