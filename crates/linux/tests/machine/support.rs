//! What is allowed, with and without rights.

use sockpulse_linux::Proc;
use sockpulse_linux::support::{Support, facilities};

use crate::common::{as_nobody, isolated, needs_root};

#[test]
fn root_what_nobody_lacks_and_what_would_help() {
    let test = "support::root_what_nobody_lacks_and_what_would_help";
    if std::env::var_os("SOCKPULSE_TEST_RIGHTLESS").is_some() {
        let all = facilities(&Proc::default());
        let of = |name| all.iter().find(|facility| facility.name == name).unwrap();
        for name in ["sock_diag", "tick rate"] {
            assert_eq!(of(name).support, Support::Yes, "{name}");
        }
        for (name, capability) in [
            ("setns", "CAP_SYS_ADMIN"),
            ("/proc/PID/fd", "CAP_SYS_PTRACE"),
            ("pidfd_getfd", "CAP_SYS_PTRACE"),
            ("raw sockets", "CAP_NET_RAW"),
            ("SOCK_DESTROY", "CAP_NET_ADMIN"),
        ] {
            let facility = of(name);
            assert!(!facility.support.is_yes(), "{name}");
            let grant = facility.grant.as_ref().unwrap();
            assert!(grant.contains(capability), "{name}: {grant}");
        }
        return;
    }
    if needs_root(test) {
        isolated(test, || as_nobody(test, "SOCKPULSE_TEST_RIGHTLESS", "1"));
    }
}

#[test]
fn root_what_root_has() {
    let test = "support::root_what_root_has";
    if needs_root(test) {
        for facility in facilities(&Proc::default()) {
            let all = [
                "sock_diag",
                "setns",
                "/proc/PID/fd",
                "pidfd_getfd",
                "raw sockets",
            ];
            if all.contains(&facility.name) || facility.name == "SOCK_DESTROY" {
                assert_eq!(facility.support, Support::Yes, "{}", facility.name);
            }
        }
    }
}
