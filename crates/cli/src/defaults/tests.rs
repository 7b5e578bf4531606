//! The commands with a machine that is made up: what they print, and what they change.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use rustix::io::Errno;
use sockpulse_bpf::Order;
use sockpulse_core::change::{Change, NetnsKey, Target, Value, value_of};
use sockpulse_core::persisted::{Content, File, Folder, Sysctl, Tree};
use sockpulse_core::protect::Step;
use sockpulse_core::{
    Cookie, Coverage, EffectiveTimers, Gap, Hz, Namespace, NetnsDefaults, NetnsId, Observed,
    Process, Setting, Timer, TimerKind,
};
use sockpulse_linux::rearm::NotRearmed;
use sockpulse_linux::set::{Expected, NotSet};
use sockpulse_linux::{Error, Operation};

use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::CommandError;
use crate::machine::{Machine, Visitor};
use crate::options::{NetnsChoice, SurveyOptions, Surveyed};
use crate::sample::{self, Sample};
use crate::sink::{ChangeSink, Found, Hooks, InForce, Inhabited, Rules};
use crate::terminal::Palette;
use crate::walk::Pacer;

/// What someone else does.
type Work = fn(&mut World);

/// The machine of a test: each test has a thread of its own.
#[derive(Debug, Clone, Default)]
struct World {
    /// The host's namespace, and a container's.
    namespaces: Vec<(NetnsKey, NetnsDefaults)>,
    files: BTreeMap<String, String>,
    /// What the kernel answers to writes of sysctls, and to those of files.
    refuse_sysctls: Option<Errno>,
    refuse_files: Option<Errno>,
    /// Only what is tried after this many changes is refused.
    refuse_after: usize,
    made: usize,
    /// What someone else does after this many checks.
    meanwhile: Option<(usize, Work)>,
    rearmed: Vec<Cookie>,
    /// Whether not all namespaces may be looked at.
    hidden: bool,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(work)
}

/// A host and a container with the kernel's values.
fn fresh() {
    let key = |id, name: &str, host| NetnsKey {
        id: NetnsId(id),
        cookie: Some(u64::from(id)),
        name: name.into(),
        host,
        boot: "5c9f".into(),
    };
    world(|world| {
        *world = World::default();
        for key in [
            key(4_026_531_840, "host", true),
            key(4_026_532_101, "container 0123456789ab", false),
        ] {
            world.namespaces.push((key, NetnsDefaults::KERNEL));
        }
    });
}

struct Pretended;

impl Pretended {
    fn refused(change: &Change) -> Option<Error> {
        let (errno, object) = world(|world| match &change.target {
            Target::Sysctl { sysctl, .. } => {
                (world.refuse_sysctls, format!("/proc/sys/{}", sysctl.path()))
            }
            Target::PersistedFile { path } => (world.refuse_files, path.clone()),
            _ => (None, String::new()),
        });
        errno.map(|errno| Error::System {
            operation: Operation::Open,
            object,
            errno,
        })
    }
}

impl ChangeSink for Pretended {
    fn clock(&self) -> u64 {
        1_795_259_400
    }

    fn namespaces(&mut self, wanted: &[NetnsChoice]) -> Result<Found, CommandError> {
        let all = wanted.is_empty() || wanted.contains(&NetnsChoice::All);
        let namespaces = world(|world| world.namespaces.clone());
        let is_wanted = |key: &NetnsKey| match wanted {
            [NetnsChoice::Named(name)] => key.name.contains(name),
            _ => all || key.host,
        };
        let mut found = Found::default();
        if world(|world| world.hidden) {
            found.gaps.push(Gap {
                what: "the network namespaces of 3 processes".into(),
                why: "not permitted to look at processes of other users".into(),
                remedy: Some("run as root, or with CAP_SYS_PTRACE and CAP_SYS_ADMIN".into()),
            });
        }
        for (key, defaults) in namespaces.into_iter().filter(|(key, _)| is_wanted(key)) {
            found.namespaces.push(Inhabited {
                namespace: Namespace {
                    id: key.id,
                    name: key.name.clone(),
                    own: key.host,
                    pid: Some(if key.host { 1 } else { 4711 }),
                    defaults: Some(defaults),
                    ..sample::namespace()
                },
                key,
            });
        }
        Ok(found)
    }

    fn tree(&self) -> Tree {
        let folders = [Folder::Etc, Folder::UsrLib];
        let file = |(path, text): (&String, &String)| {
            let (folder, name) = path.rsplit_once('/')?;
            let folder = folders.into_iter().find(|known| known.path() == folder)?;
            Some(File {
                folder,
                name: name.as_bytes().to_vec(),
                link: None,
                content: Content::Text(text.clone().into_bytes()),
            })
        };
        world(|world| Tree {
            files: world.files.iter().filter_map(file).collect(),
            sysctl_conf: world
                .files
                .get("/etc/sysctl.conf")
                .map(|text| Content::Text(text.clone().into_bytes())),
            unreadable: Vec::new(),
        })
    }

    fn hz(&self) -> Option<Hz> {
        Hz::new(250)
    }

    fn now(&mut self, target: &Target) -> Result<Option<Value>, Error> {
        world(|world| match target {
            Target::Sysctl { netns, sysctl } => {
                let mut known = world.namespaces.iter();
                match known.find(|(key, _)| key.is(netns)) {
                    Some((_, defaults)) => Ok(Some(Value::Number(value_of(*sysctl, defaults)))),
                    None if world.hidden => Err(Error::NoSuchNamespace {
                        name: netns.name.clone(),
                    }),
                    None => Ok(None),
                }
            }
            Target::PersistedFile { path } => {
                let text = world.files.get(path).cloned();
                Ok(Some(text.map_or(Value::Absent, Value::Text)))
            }
            _ => Ok(None),
        })
    }

    fn check(&mut self, change: &Change) -> Result<(), Error> {
        world(|world| match world.meanwhile.take() {
            Some((0, work)) => work(world),
            Some((after, work)) => world.meanwhile = Some((after - 1, work)),
            None => {}
        });
        match Self::refused(change) {
            Some(error) if world(|world| world.refuse_after) == 0 => Err(error),
            _ => Ok(()),
        }
    }

    fn make(&mut self, change: &Change) -> Result<(), Error> {
        let made = world(|world| {
            world.made += 1;
            world.made
        });
        if let Some(error) = Self::refused(change)
            && made > world(|world| world.refuse_after)
        {
            return Err(error);
        }
        world(|world| match (&change.target, &change.after) {
            (Target::Sysctl { netns, sysctl }, Value::Number(value)) => {
                let mut known = world.namespaces.iter_mut();
                let (_, defaults) = known.find(|(key, _)| key.is(netns)).unwrap();
                match sysctl {
                    Sysctl::Idle => defaults.idle_s = *value,
                    Sysctl::Interval => defaults.interval_s = *value,
                    Sysctl::Probes => defaults.probes = *value,
                }
            }
            (Target::PersistedFile { path }, Value::Text(text)) => {
                world.files.insert(path.clone(), text.clone());
            }
            (Target::PersistedFile { path }, _) => {
                world.files.remove(path);
            }
            other => panic!("{other:?}"),
        });
        Ok(())
    }

    fn may_walk(&mut self, _: &SurveyOptions) -> Result<bool, CommandError> {
        panic!("not under test")
    }

    fn walk(
        &mut self,
        _: &mut dyn ExactSizeIterator<Item = Order>,
        _: &BTreeMap<NetnsId, usize>,
        _: &mut dyn Pacer,
    ) -> Result<(), CommandError> {
        panic!("not under test")
    }

    fn boot(&self) -> String {
        "5c9f".into()
    }

    fn set_socket(
        &mut self,
        _: Process,
        _: Cookie,
        _: &Expected,
        _: &Step,
    ) -> Result<EffectiveTimers, NotSet> {
        panic!("not under test")
    }

    fn rules(&mut self, _: &Path) -> Result<InForce, CommandError> {
        panic!("not under test")
    }

    fn check_rules(&mut self, _: &Hooks, _: &Rules) -> Result<(), CommandError> {
        panic!("not under test")
    }

    fn set_rules(&mut self, _: &Hooks, _: &Rules) -> Result<InForce, CommandError> {
        panic!("not under test")
    }

    fn rearm(&mut self, _: Process, cookie: Cookie) -> Result<(), NotRearmed> {
        world(|world| world.rearmed.push(cookie));
        Ok(())
    }
}

/// Two that follow and wait for old timers, one of them held by nobody, beside one of each kind.
fn survey(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let mut samples = sample::all();
    let now = world(|world| world.namespaces[0].1.clone());
    let namespace = Namespace {
        defaults: Some(now),
        ..sample::namespace()
    };
    for cookie in [7, 8] {
        let mut connection = sample::known();
        connection.id.cookie = Cookie(cookie);
        if let Observed::Known(timers) = &mut connection.settings {
            timers.idle = Setting::Namespace;
        }
        connection.timers.keepalive = Observed::Known(Some(Timer {
            kind: TimerKind::Keepalive,
            expires_ms: 7_100_000,
        }));
        if cookie == 8 {
            connection.owner.processes.clear();
        }
        let mut stale = Sample::new(connection);
        stale.assessment =
            sockpulse_core::assess(&stale.connection, Some(&namespace), &sample::TARGET);
        samples.push(stale);
    }
    for sample in samples {
        visit(&sample.row()).map_err(CommandError::output)?;
    }
    assert!(options.selector.is_empty());
    Ok(Surveyed {
        namespaces: vec![namespace],
        coverage: Coverage::default(),
        elapsed: std::time::Duration::from_millis(3),
    })
}

fn quiet(_: &SurveyOptions, _: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    Ok(Surveyed::default())
}

/// A folder for the journal, which goes with the test.
struct State(PathBuf);

impl State {
    fn new(test: &str) -> Self {
        fresh();
        let name = format!("sockpulse-defaults-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn run(&self, line: &str) -> String {
        self.run_with(line, quiet)
    }

    /// What a command answers, in one text.
    fn run_with(&self, line: &str, survey: crate::machine::Survey) -> String {
        let mut words: Vec<_> = format!("sockpulse {line}")
            .split(' ')
            .map(str::to_owned)
            .collect();
        let writes = ["set", "reset", "undo"]
            .iter()
            .any(|verb| line.contains(verb));
        if writes {
            words.extend(["--state-dir".to_owned(), self.0.display().to_string()]);
        }
        let cli = Cli::try_parse_from(words).unwrap();
        let face = Face {
            output: cli.global.output,
            width: 80,
            height: None,
            palette: Palette::Plain,
        };
        let machine = Machine {
            changes: || Box::new(Pretended),
            ..sample::machine(survey)
        };
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let result = match &cli.command {
            Command::Defaults(args) => super::run(args, &face, &machine, &mut out, &mut stderr),
            Command::Undo(args) => super::undo(args, &face, &machine, &mut out, &mut stderr),
            other => panic!("{other:?}"),
        };
        let mut text = format!("$ sockpulse {line}\n{}", String::from_utf8(out).unwrap());
        for line in String::from_utf8(stderr).unwrap().lines() {
            let _ = writeln!(text, "2> {line}");
        }
        let status = match result {
            Ok(exit) => exit.status(),
            Err(error) => {
                let _ = writeln!(text, "2> error: {error}");
                for hint in error.hints() {
                    let _ = writeln!(text, "2> hint: {hint}");
                }
                error.status()
            }
        };
        let _ = writeln!(text, "exit status {status}");
        text.replace(&self.0.display().to_string(), "STATE")
    }

    fn all(&self, lines: &[&str]) -> String {
        let answers: Vec<_> = lines.iter().map(|line| self.run(line)).collect();
        answers.join("\n")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn idle_now() -> i64 {
    world(|world| world.namespaces[0].1.idle_s)
}

#[test]
fn values_are_set_kept_and_put_back() {
    let state = State::new("round");
    insta::assert_snapshot!(state.all(&[
        "defaults",
        "defaults set --idle 2m --interval 20s --probes 5 --persist --dry-run",
        "defaults set --idle 2m --interval 20s --probes 5 --persist",
        "defaults set --idle 2m --interval 20s --probes 5 --persist",
        "defaults",
        "defaults set --idle 1m --persist",
        "undo --dry-run",
        "undo",
        "undo --list",
        "defaults reset",
        "undo --list",
        "defaults reset",
    ]));
    assert!(world(|world| world.files.is_empty()));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn a_file_alone_can_be_written() {
    let state = State::new("file");
    insta::assert_snapshot!(state.all(&[
        "defaults set --idle 2m --persist-only --dry-run",
        "defaults set --idle 2m --persist-only",
        "defaults set --idle 2m --persist-only",
    ]));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn what_programs_read_is_stable() {
    let state = State::new("json");
    world(|world| {
        let text = "net.ipv4.tcp_keepalive_time = 60\nnet.ipv4.tcp_keepalive_intvl = soon\n";
        world
            .files
            .insert("/etc/sysctl.d/50-a.conf".into(), text.into());
        let text = "net.ipv4.tcp_keepalive_time = 90\n";
        world.files.insert("/etc/sysctl.conf".into(), text.into());
    });
    insta::assert_snapshot!(state.all(&[
        "defaults -o json",
        "defaults get -o jsonl",
        "defaults get -o csv",
        "defaults set --idle 2m --netns all -o json",
        "undo --dry-run -o json",
        "undo --list -o json",
        "-o csv defaults set --idle 2m",
    ]));
}

#[test]
fn a_line_that_wins_all_the_same_is_named() {
    let state = State::new("overridden");
    world(|world| {
        let text = "# old\nnet.ipv4.tcp_keepalive_time = 7200\n";
        world.files.insert("/etc/sysctl.conf".into(), text.into());
    });
    insta::assert_snapshot!(state.all(&[
        "defaults",
        "defaults set --idle 2m --persist",
        "defaults",
        "defaults set --idle 2h --persist",
    ]));
}

#[test]
fn what_harms_is_told_where_it_holds_and_where_it_comes_from() {
    let state = State::new("harm");
    world(|world| {
        world.namespaces[0].1.probes = 0;
        world.namespaces[1].1.probes = 0;
        let text = "net.ipv4.tcp_keepalive_time = -5\nnet.ipv4.tcp_keepalive_probes = 0\n";
        world
            .files
            .insert("/etc/sysctl.d/50-a.conf".into(), text.into());
    });
    insta::assert_snapshot!(state.all(&[
        "defaults",
        "defaults get -o json",
        "defaults get -o csv --impact"
    ]));
}

#[test]
fn a_dry_run_tells_what_would_fail_and_whom_it_would_reach() {
    let state = State::new("dry");
    let line = "defaults set --idle 2m --dry-run";
    let mut answers = vec![
        state.run_with(line, survey),
        state.run_with("defaults set --idle 2m --rearm --dry-run", survey),
        state.run_with("defaults set --idle 2m --rearm --dry-run -o json", survey),
    ];
    assert_eq!(world(|world| world.rearmed.len()), 0);
    state.run("defaults set --idle 5m --persist");
    for (sysctls, files) in [
        (Some(Errno::ACCESS), None),
        (Some(Errno::ROFS), None),
        (None, Some(Errno::ROFS)),
    ] {
        world(|world| {
            world.refuse_sysctls = sysctls;
            world.refuse_files = files;
        });
        answers.push(state.run("defaults set --idle 2m --persist --dry-run"));
        answers.push(state.run("undo --dry-run"));
    }
    answers.push(state.run("undo --dry-run -o json"));
    insta::assert_snapshot!(answers.join("\n"));
    assert_eq!(idle_now(), 300);
}

#[test]
fn a_file_for_a_namespace_that_reads_none_is_refused() {
    let state = State::new("not-its-file");
    insta::assert_snapshot!(state.all(&[
        "defaults set --idle 2m --persist --netns 0123456789ab --dry-run",
        "defaults set --idle 2m --persist --netns 0123456789ab --force --dry-run",
        "defaults set --idle 2m --netns 0123456789ab --dry-run",
    ]));
    assert!(world(|world| world.files.is_empty()));
}

#[test]
fn what_harms_is_refused_with_the_reason() {
    let state = State::new("dangers");
    insta::assert_snapshot!(state.all(&[
        "defaults set --probes 0",
        "defaults set --idle -1 --interval 0",
        "defaults set --idle 40000 --probes 200",
        "defaults set --probes 0 --force --dry-run",
        "defaults set --idle 5 --interval 1 --probes 1 --dry-run",
        "defaults set --idle 300 --dry-run",
        "defaults set --idle 60 --dry-run",
        "defaults set",
        "defaults set --persist --rearm",
    ]));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn refusals_of_the_machine_change_nothing_and_say_what_helps() {
    let state = State::new("refusals");
    let mut answers = Vec::new();
    for (sysctls, files) in [
        (Some(Errno::ACCESS), None),
        (Some(Errno::ROFS), None),
        (None, Some(Errno::ACCESS)),
        (None, Some(Errno::ROFS)),
        (None, Some(Errno::NOSPC)),
    ] {
        world(|world| {
            world.refuse_sysctls = sysctls;
            world.refuse_files = files;
        });
        answers.push(state.run("defaults set --idle 2m --persist"));
        assert_eq!(idle_now(), 7200);
        assert!(world(|world| world.files.is_empty()));
    }
    assert!(!state.0.exists(), "nothing was going to be changed");
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn what_fails_half_way_is_told_and_remembered() {
    let state = State::new("halfway");
    // The disk is full when the file is written: what was to follow is left.
    world(|world| {
        world.refuse_files = Some(Errno::NOSPC);
        world.refuse_sysctls = Some(Errno::INVAL);
        world.refuse_after = 3;
        world.made = 3;
    });
    let mut answers = vec![state.run("defaults set --idle 2m --persist")];
    assert_eq!(idle_now(), 7200);
    // One namespace of two refuses.
    world(|world| world.made = 2);
    answers.push(state.run("defaults set --idle 2m --netns all"));
    assert_eq!(idle_now(), 120);
    answers.push(state.run("undo --list"));
    world(|world| world.refuse_sysctls = None);
    answers.push(state.run("undo"));
    insta::assert_snapshot!(answers.join("\n"));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn what_someone_else_set_is_left_alone() {
    let state = State::new("manual");
    let mut answers = vec![state.run("defaults set --idle 2m --netns all --persist")];
    world(|world| {
        world.namespaces[0].1.idle_s = 90;
        let file = world
            .files
            .get_mut("/etc/sysctl.d/zz-sockpulse.conf")
            .unwrap();
        file.push_str("# mine\n");
        // The container ends; another one has its number.
        world.namespaces[1].0.cookie = Some(99);
    });
    answers.push(state.run("undo"));
    answers.push(state.run("defaults reset"));
    answers.push(state.run("defaults reset --netns self"));
    assert_eq!(idle_now(), 90);
    answers.push(state.run("defaults reset --force"));
    assert_eq!(idle_now(), 7200);
    insta::assert_snapshot!(answers.join("\n"));
    assert_eq!(world(|world| world.namespaces[1].1.idle_s), 120);
}

#[test]
fn an_undo_that_failed_or_left_something_is_tried_again() {
    let state = State::new("again");
    state.run("defaults set --idle 10m");
    state.run("defaults set --idle 2m --netns all");
    world(|world| {
        world.refuse_sysctls = Some(Errno::INVAL);
        world.refuse_after = world.made + 1;
    });
    let mut answers = vec![state.run("undo")];
    world(|world| {
        world.refuse_sysctls = None;
        world.namespaces[1].1.idle_s = 90;
    });
    answers.push(state.run("undo"));
    answers.push(state.run("undo --force"));
    // Not the change before it.
    assert_eq!(idle_now(), 600);
    assert_eq!(world(|world| world.namespaces[1].1.idle_s), 7200);
    answers.push(state.run("undo"));
    assert_eq!(idle_now(), 7200);
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn what_is_gone_or_back_already_does_not_stand_in_the_way() {
    let state = State::new("gone");
    state.run("defaults set --idle 10m");
    state.run("defaults set --probes 4 --netns all");
    state.run("defaults set --interval 20s");
    world(|world| {
        world.namespaces[0].1.interval_s = 75;
        world.namespaces[0].1.probes = 9;
        world.namespaces[1].0.cookie = Some(99);
    });
    insta::assert_snapshot!(state.all(&["undo", "undo", "undo", "undo --list"]));
    assert_eq!(idle_now(), 7200);
}

const OURS: &str = "/etc/sysctl.d/zz-sockpulse.conf";

/// What someone else sets, at run time and in our file.
const MEANWHILE: [Work; 2] = [
    |world| world.namespaces[0].1.idle_s = 600,
    |world| {
        let text = "net.ipv4.tcp_keepalive_probes = 4\n";
        world.files.insert(OURS.into(), text.into());
    },
];

#[test]
fn what_another_command_wrote_meanwhile_is_planned_for() {
    let state = State::new("race");
    let [run_time, file] = MEANWHILE;
    world(|world| world.meanwhile = Some((0, run_time)));
    let said = state.run("defaults set --idle 2m --persist");
    assert!(said.contains("tcp_keepalive_time 600 -> 120"), "{said}");
    world(|world| world.meanwhile = Some((0, file)));
    let said = state.run("defaults set --idle 1m --persist");
    assert!(said.ends_with("exit status 0\n"), "{said}");
    let text = world(|world| world.files[OURS].clone());
    assert!(
        text.contains("probes = 4") && text.contains("= 60"),
        "{text}"
    );
    assert!(state.run("undo 2").ends_with("exit status 0\n"));
    assert!(state.run("undo 1").contains("120 -> 600"));
}

#[test]
fn what_someone_wrote_at_the_last_moment_is_not_overwritten() {
    let state = State::new("moment");
    for meanwhile in MEANWHILE {
        // There are two changes: this is behind the plan that holds the journal.
        world(|world| world.meanwhile = Some((2, meanwhile)));
        let said = state.run("defaults set --idle 2m --persist");
        assert!(said.contains("in this moment: nothing was done"), "{said}");
        assert!(said.ends_with("exit status 3\n"), "{said}");
    }
    assert_eq!(idle_now(), 600);
    let text = world(|world| world.files[OURS].clone());
    assert_eq!(text, "net.ipv4.tcp_keepalive_probes = 4\n");
}

#[test]
fn later_changes_of_ours_are_told_from_those_of_others() {
    let state = State::new("later");
    for idle in ["2m", "3m", "4m"] {
        state.run(&format!("defaults set --idle {idle} --persist"));
    }
    let mut answers = vec![state.run("undo 1")];
    world(|world| world.namespaces[0].1.idle_s = 90);
    answers.push(state.run("undo 1 --dry-run"));
    // After a boot without the file all is as in the beginning.
    world(|world| {
        world.namespaces[0].1.idle_s = 7200;
        world.files.clear();
    });
    answers.push(state.all(&["undo", "undo", "undo", "undo", "undo 2"]));
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn every_reset_is_undone_like_any_other_change() {
    let state = State::new("resets");
    for reset in [
        "",
        " --netns self",
        " --to-kernel",
        " --to-kernel --netns all",
    ] {
        state.run("defaults set --idle 2m");
        state.run(&format!("defaults reset{reset}"));
        assert_eq!(idle_now(), 7200, "{reset}");
        assert!(state.run("undo").contains("7200 -> 120"), "{reset}");
        assert!(state.run("undo").contains("120 -> 7200"), "{reset}");
        assert!(state.run("undo").contains("nothing to undo"), "{reset}");
        let before = idle_now();
        let said = state.run("undo --since 1h");
        assert!(said.ends_with("exit status 0\n"), "{said}");
        assert_eq!(idle_now(), before);
    }
}

#[test]
fn a_reset_leaves_the_lines_of_others_in_our_file() {
    const OURS: &str = "/etc/sysctl.d/zz-sockpulse.conf";
    let state = State::new("edited");
    state.run("defaults set --idle 2m --persist");
    world(|world| {
        world
            .files
            .get_mut(OURS)
            .unwrap()
            .push_str("vm.swappiness = 3\n")
    });
    state.run("defaults set --probes 4 --persist");
    let said = state.run("defaults reset");
    assert!(said.ends_with("exit status 0\n"), "{said}");
    let text = world(|world| world.files[OURS].clone());
    assert_eq!(text, "vm.swappiness = 3\n");
    let said = state.run("defaults reset");
    assert!(!said.contains("still sets defaults"), "{said}");
}

#[test]
fn what_may_be_there_is_not_called_gone() {
    let state = State::new("hidden");
    state.run("defaults set --idle 2m --netns all");
    world(|world| {
        world.hidden = true;
        world.namespaces.pop();
    });
    insta::assert_snapshot!(state.all(&["undo", "undo --list"]));
}

#[test]
fn what_a_later_version_wrote_is_told() {
    let state = State::new("version");
    std::fs::create_dir_all(&state.0).unwrap();
    let line = r#"{"schema_version":2,"kind":"intent","id":1,"changes":[]}"#;
    std::fs::write(state.0.join("journal.jsonl"), format!("{line}\n")).unwrap();
    insta::assert_snapshot!(state.all(&[
        "undo",
        "undo --dry-run",
        "defaults set --idle 2m",
        "undo --list"
    ]));
}

#[test]
fn without_a_journal_the_kernels_values_can_be_asked_for() {
    let state = State::new("kernel");
    world(|world| {
        world.namespaces[0].1.idle_s = 33;
        let text = "net.ipv4.tcp_keepalive_time = 33\n";
        world
            .files
            .insert("/etc/sysctl.d/zz-sockpulse.conf".into(), text.into());
    });
    insta::assert_snapshot!(state.all(&[
        "undo",
        "undo 3",
        "undo --list",
        "defaults reset",
        "defaults reset --to-kernel --dry-run",
        "defaults reset --to-kernel",
    ]));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn nothing_happened_is_answered() {
    let state = State::new("impact");
    let mut answers = vec![state.run_with("defaults get --impact", survey)];
    answers.push(state.run_with("defaults set --idle 2m --interval 20s", survey));
    answers.push(state.run_with("defaults get --impact -o jsonl", survey));
    answers.push(state.run_with("defaults set --rearm --spread 0", survey));
    answers.push(state.run_with("defaults set --rearm --spread 0 -o json", survey));
    answers.push(state.run_with("defaults set --rearm --dry-run", survey));
    insta::assert_snapshot!(answers.join("\n"));
    assert_eq!(world(|world| world.rearmed.clone()), [Cookie(7), Cookie(7)]);
}

#[test]
fn since_takes_back_all_within_a_time() {
    let state = State::new("since");
    state.run("defaults set --idle 10m");
    state.run("defaults set --idle 5m");
    state.run("defaults set --probes 4");
    insta::assert_snapshot!(state.run("undo --since 1h"));
    assert_eq!(idle_now(), 7200);
}

#[test]
fn who_was_ended_cannot_be_brought_back() {
    let state = State::new("ended");
    std::fs::create_dir_all(&state.0).unwrap();
    let change = r#"{"after":null,"before":"connections-1.jsonl","count":7,"file":"connections-1.jsonl","reason":"dead","target":"destroyed"}"#;
    let intent = format!(
        r#"{{"at":"2026-11-21T18:26:41Z","changes":[{change}],"command":"reap","continues":null,"id":1,"kind":"intent","schema_version":1,"undoes":[],"undoes_partly":[]}}"#
    );
    let outcome = r#"{"at":"2026-11-21T18:26:45Z","id":1,"kind":"outcome","outcomes":["done"],"schema_version":1}"#;
    let journal = format!("{intent}\n{outcome}\n");
    std::fs::write(state.0.join("journal.jsonl"), journal).unwrap();
    let said = state.run("undo");
    assert!(
        said.contains("nothing to undo: change 1 cannot be undone"),
        "{said}"
    );
    let said = state.run("undo 1");
    assert!(said.contains("it destroyed connections"), "{said}");
    assert!(said.contains("connections-1.jsonl"), "{said}");
}
