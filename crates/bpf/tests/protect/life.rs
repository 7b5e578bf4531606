//! Installing, replacing, mending and ending.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sockpulse_bpf::Error;
use sockpulse_bpf::protect::{self, Accepted, Hook, Removed};
use sockpulse_core::protect::Mode;

use super::common::{UNTOUCHED, connect_away, has, in_world, pair, rule, wait_for};

const BASE: [Hook; 4] = [Hook::Bind4, Hook::Bind6, Hook::Connect4, Hook::Connect6];

fn fill(idle: u64) -> sockpulse_core::protect::Rule {
    rule(Mode::Fill, idle, 11, 5)
}

fn idle() -> i32 {
    has(&connect_away(libc::AF_INET)).1
}

#[test]
fn root_installed_replaced_and_removed() {
    in_world(|world| {
        assert!(world.load().is_none());
        assert_eq!(protect::remove(&world.pins).unwrap(), Removed::Nothing);
        let installed = world.install(&[fill(61)]);
        assert_eq!(installed.hooks, BASE);
        assert_eq!(installed.rules[0].text, "fill 61 11 5");
        assert_eq!(world.load().unwrap(), installed);
        assert_eq!(idle(), 61);

        // The hooks follow the rules; a rule that stays keeps its counts.
        let held = world.install(&[rule(Mode::Override, 62, 11, 5), fill(61)]);
        assert_eq!(held.hooks, [&[Hook::SetSockOpt], &BASE[..]].concat());
        assert_eq!(held.rules[1].counts.set, 1);
        assert_eq!(held.rules[0].counts.set, 0);
        assert_eq!(idle(), 62);
        let back = world.install(&[fill(61)]);
        assert_eq!(back.hooks, BASE);
        assert_eq!(back.rules[0].counts.set, 1);
        assert_eq!(idle(), 61);

        let socket = connect_away(libc::AF_INET);
        assert_eq!(protect::remove(&world.pins).unwrap(), Removed::InForce);
        assert!(!world.pins.exists());
        assert!(world.load().is_none());
        assert_eq!(idle(), UNTOUCHED.1);
        // What is open keeps what it has.
        assert_eq!(has(&socket).1, 61);
    });
}

#[test]
fn root_what_somebody_removed_is_mended() {
    in_world(|world| {
        world.install(&[fill(61)]);
        let folder = only_folder(&world.pins);
        fs::remove_file(folder.join("on-connect4")).unwrap();
        // The kernel lets go of it a moment later.
        wait_for("the link to be gone", || {
            (idle() == UNTOUCHED.1).then_some(())
        });
        let found = world.load().unwrap();
        assert_eq!(found.missing, [Hook::Connect4]);
        assert_eq!(found.hooks, [Hook::Bind4, Hook::Bind6, Hook::Connect6]);
        assert!(world.install(&[fill(61)]).missing.is_empty());
        assert_eq!(idle(), 61);

        for file in ["meta", "tables", "counters", "owners", "on_connect4"] {
            fs::remove_file(only_folder(&world.pins).join(file)).unwrap();
            let installed = world.install(&[fill(61)]);
            assert!(installed.missing.is_empty(), "{file}");
            assert_eq!(idle(), 61, "{file}");
        }
        fs::remove_file(world.pins.join("turn")).unwrap();
        // The programs go on, by rules that cannot be read any more.
        let error = protect::load(&world.pins).unwrap_err();
        assert!(matches!(error, Error::Torn { .. }), "{error:?}");
        world.install(&[fill(62)]);
        assert_eq!(idle(), 62);
    });
}

fn only_folder(pins: &Path) -> std::path::PathBuf {
    let folders: Vec<_> = fs::read_dir(pins)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// Another cgroup is another installation, and so is another build.
#[test]
fn root_another_cgroup_replaces() {
    in_world(|world| {
        world.install(&[fill(61)]);
        let first = only_folder(&world.pins);
        let below = world.cgroup.join("below");
        fs::create_dir(&below).unwrap();
        let table = sockpulse_core::protect::Table::compile(&[fill(62)]).unwrap();
        let wanted = protect::Wanted {
            table: &table,
            texts: &[String::from("below")],
            accepted: Accepted::Inherit,
            hz: super::common::hz(),
        };
        let installed = protect::install(&world.pins, &below, &wanted).unwrap();
        assert_ne!(only_folder(&world.pins), first);
        assert_eq!(installed.rules[0].text, "below");
        assert_eq!(idle(), UNTOUCHED.1);
        world.inside("below", || assert_eq!(idle(), 62));
        // With its cgroup, the kernel takes the programs off it.
        wait_for("the links to be gone", || {
            (world.load().unwrap().missing == BASE).then_some(())
        });
        world.install(&[fill(61)]);
        assert_eq!(idle(), 61);
    });
}

#[test]
fn root_a_folder_elsewhere_is_refused() {
    in_world(|world| {
        let table = sockpulse_core::protect::Table::compile(&[fill(62)]).unwrap();
        let wanted = protect::Wanted {
            table: &table,
            texts: &[],
            accepted: Accepted::Inherit,
            hz: super::common::hz(),
        };
        let elsewhere = std::env::temp_dir();
        let error = protect::install(&elsewhere, &world.cgroup, &wanted).unwrap_err();
        assert!(matches!(error, Error::NoBpffs { .. }), "{error}");
        let error = protect::install(Path::new("/no/folder"), &world.cgroup, &wanted);
        assert!(matches!(error.unwrap_err(), Error::NoBpffs { .. }));
        assert!(matches!(
            protect::load(&elsewhere),
            Err(Error::NoBpffs { .. })
        ));
        assert!(protect::load(Path::new("/no/folder")).unwrap().is_none());
        let no_cgroup = protect::install(&world.pins, Path::new("/no/cgroup"), &wanted);
        assert!(matches!(no_cgroup.unwrap_err(), Error::Pin { .. }));
    });
}

/// Connections are made as fast as they can be while the table changes, the way accepted connections
/// are decided over too: each has the old settings or the new ones, at both ends.
#[test]
fn root_no_connection_slips_through_a_change() {
    in_world(|world| {
        let whole = |idle| rule(Mode::Override, idle, 11, 5);
        world.install(&[whole(61)]);
        let done = AtomicBool::new(false);
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let connect = || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let to = listener.local_addr().unwrap();
                while !done.load(Ordering::Relaxed) {
                    let client = TcpStream::connect(to).unwrap();
                    let (server, _) = listener.accept().unwrap();
                    for (end, name) in [(&client, "client"), (&server, "server")] {
                        let has = has(end);
                        let right = matches!(has, (true, 61 | 62, 11, 5, 0));
                        assert!(right, "{name} {has:?}");
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                }
            };
            let connecting = [scope.spawn(connect), scope.spawn(connect)];
            let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for round in 0..40 {
                    let wanted = [whole(61 + round % 2)];
                    match round {
                        20 => world.install_each(&wanted),
                        _ => world.install(&wanted),
                    };
                    // At least some connections between two changes.
                    let before = made.load(Ordering::Relaxed);
                    wait_for("a connection", || {
                        (made.load(Ordering::Relaxed) > before
                            || connecting.iter().any(|thread| thread.is_finished()))
                        .then_some(())
                    });
                }
            }));
            done.store(true, Ordering::Relaxed);
            changed.unwrap();
        });
        assert!(made.load(Ordering::Relaxed) > 100);
    });
}

#[test]
fn root_names_that_are_seen_twice_are_one() {
    in_world(|world| {
        // Two rules with one text are two rules, each with a count of its own.
        let mut never = fill(61);
        never.selector.pids = vec![u32::MAX];
        let installed = world.install(&[never, fill(61)]);
        assert_eq!(installed.rules[0].text, installed.rules[1].text);
        assert_eq!(idle(), 61);
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        assert!(has(&pair.server).0);
        let counts = |n: usize| world.load().unwrap().rules[n].counts;
        assert_eq!(counts(0).set, 0);
        assert_eq!(counts(1).set, 3);
    });
}
