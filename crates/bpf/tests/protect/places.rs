//! Where a program runs, as the kernel's own tree of cgroups tells.

use sockpulse_core::Selector;
use sockpulse_core::glob::Glob;
use sockpulse_core::protect::{Mode, Rule};

use super::common::{UNTOUCHED, connect_away, has, in_world, rule};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn at(idle: u64, selector: Selector) -> Rule {
    Rule {
        name: idle.to_string(),
        selector,
        ..rule(Mode::Fill, idle, 11, 5)
    }
}

#[test]
fn root_units_containers_and_cgroups() {
    in_world(|world| {
        let own = world.cgroup.file_name().unwrap().to_str().unwrap();
        world.install(&[
            at(
                61,
                Selector {
                    units: vec![Glob::new("redis-*")],
                    ..Selector::default()
                },
            ),
            at(
                62,
                Selector {
                    containers: vec![Glob::new(&ID[..12])],
                    ..Selector::default()
                },
            ),
            at(
                63,
                Selector {
                    cgroups: vec![format!("/{own}/deep/er")],
                    ..Selector::default()
                },
            ),
        ]);
        let idle = |path: &str| world.inside(path, || has(&connect_away(libc::AF_INET)));
        let filled = |idle| (true, idle, 11, 5, 0);
        // The second time it is another cgroup of the same name.
        for _ in 0..3 {
            assert_eq!(idle("redis-a.service"), filled(61));
        }
        assert_eq!(idle("x.slice/redis-b.service/sub"), filled(61));
        assert_eq!(idle("redis.service"), UNTOUCHED);
        assert_eq!(idle(&format!("docker-{ID}.scope")), filled(62));
        assert_eq!(idle(&format!("redis-x.service/{ID}")), filled(61));
        assert_eq!(idle("deep/er"), filled(63));
        assert_eq!(idle("deep/er/still"), filled(63));
        assert_eq!(idle("deep/erer"), UNTOUCHED);
        assert_eq!(idle("deep"), UNTOUCHED);
        assert_eq!(idle(&"long/".repeat(40)), UNTOUCHED);
        assert_eq!(has(&connect_away(libc::AF_INET)), UNTOUCHED);
    });
}

/// What is remembered of a cgroup belongs to one table.
#[test]
fn root_a_new_table_looks_anew() {
    in_world(|world| {
        let unit = |name: &str, idle| {
            at(
                idle,
                Selector {
                    units: vec![Glob::new(name)],
                    ..Selector::default()
                },
            )
        };
        world.inside("a.service", || {
            for (name, wanted) in [
                ("a", (true, 61, 11, 5, 0)),
                ("b", UNTOUCHED),
                ("?.service", (true, 61, 11, 5, 0)),
            ] {
                world.install(&[unit(name, 61)]);
                assert_eq!(has(&connect_away(libc::AF_INET)), wanted, "{name}");
            }
        });
    });
}
