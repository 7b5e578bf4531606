//! Scripts of what happens to one connection, one file in `scenarios/` each: at which times the
//! machine acts, and how.
//!
//! A step without an input is a timer: it must fire at exactly the step's time. `receives`,
//! `program`, `admin` and `device` are inputs; no timer may be due before them. `skip = true` lets
//! timers before the step pass unseen. What the machine does is told by `sends`, `rearms` and `ends`
//! (nothing, where none is there); `timer` says when the next timer is due, or `never`.
#![expect(clippy::unwrap_used, reason = "a broken script should stop its test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use sockpulse_core::machine::{
    Action, Errno, KeepaliveMachine, Lateness, Segment, Sent, Setup, SocketOption, Start, timeline,
};
use sockpulse_core::settings::{KeepCnt, KeepIdle, KeepIntvl, Setting, SocketTimers, UserTimeout};
use sockpulse_core::{Hz, NetnsDefaults, parse_duration};

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the scenarios are there")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    let trials = files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Trial::test(name, move || play(&path))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// One sentence: the rule that it shows.
    rule: String,
    start: String,
    #[serde(default)]
    setup: Settings,
    #[serde(default)]
    steps: Vec<Step>,
    /// Seconds to the end as measured on a real kernel whose peer vanished: inside of the timeline's
    /// last window.
    #[serde(default)]
    measured: Vec<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    keepalive: Option<bool>,
    idle: Option<u32>,
    interval: Option<u32>,
    probes: Option<u32>,
    user_timeout: Option<String>,
    rto: Option<String>,
    rto_min: Option<String>,
    rto_max: Option<String>,
    retries2: Option<u32>,
    syn_retries: Option<u32>,
    syn_linear_timeouts: Option<u32>,
    synack_retries: Option<u32>,
    orphan_retries: Option<u32>,
    fin_timeout: Option<String>,
    tail_loss_probe: Option<String>,
    default_idle: Option<i64>,
    default_interval: Option<i64>,
    default_probes: Option<i64>,
    hz: Option<u32>,
    /// `most`, or the wheel's phase in jiffies; exact if absent.
    late: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: String,
    receives: Option<String>,
    program: Option<String>,
    admin: Option<Sysctls>,
    /// The device refuses what was sent last.
    device: Option<String>,
    #[serde(default)]
    skip: bool,
    sends: Option<String>,
    ends: Option<String>,
    #[serde(default)]
    rearms: bool,
    timer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sysctls {
    idle: Option<i64>,
    interval: Option<i64>,
    probes: Option<i64>,
}

fn time(text: &str) -> Duration {
    parse_duration(text).expect("a time like 2s204ms")
}

impl Settings {
    fn setup(&self) -> Setup {
        let set = |value: Option<u32>| value.map_or(Setting::Namespace, Setting::Socket);
        let or = |text: &Option<String>, other| text.as_deref().map_or(other, time);
        let kernel = NetnsDefaults::KERNEL;
        let defaults = NetnsDefaults {
            idle_s: self.default_idle.unwrap_or(kernel.idle_s),
            interval_s: self.default_interval.unwrap_or(kernel.interval_s),
            probes: self.default_probes.unwrap_or(kernel.probes),
            retries2: self.retries2.unwrap_or(kernel.retries2),
            rto_min: or(&self.rto_min, kernel.rto_min),
            rto_max: or(&self.rto_max, kernel.rto_max),
        };
        let user_timeout = or(&self.user_timeout, Duration::ZERO).as_millis();
        let timers = SocketTimers {
            keepalive: self.keepalive.unwrap_or(true),
            idle: set(self.idle),
            interval: set(self.interval),
            probes: set(self.probes),
            user_timeout: UserTimeout::new(user_timeout.try_into().unwrap()).unwrap(),
        };
        let usual = Setup::new(timers, defaults);
        Setup {
            rto: or(&self.rto, usual.rto),
            hz: Some(Hz::new(self.hz.unwrap_or(250)).expect("a tick rate")),
            syn_retries: self.syn_retries.unwrap_or(usual.syn_retries),
            syn_linear_timeouts: self
                .syn_linear_timeouts
                .unwrap_or(usual.syn_linear_timeouts),
            synack_retries: self.synack_retries.unwrap_or(usual.synack_retries),
            orphan_retries: self.orphan_retries.unwrap_or(usual.orphan_retries),
            fin_timeout: or(&self.fin_timeout, usual.fin_timeout),
            tail_loss_probe: self.tail_loss_probe.as_deref().map(time),
            ..usual
        }
    }

    fn lateness(&self) -> Lateness {
        match self.late.as_deref() {
            None => Lateness::None,
            Some("most") => Lateness::Most,
            Some(phase) => Lateness::Phase(phase.parse().expect("a phase")),
        }
    }
}

fn start(name: &str) -> Start {
    match name {
        "idle" => Start::Idle,
        "answered" => Start::Answered,
        "data in flight" => Start::DataInFlight,
        "zero window" => Start::ZeroWindow,
        "connecting" => Start::Connecting,
        "accepting" => Start::Accepting,
        "closing" => Start::Closing,
        "fin-wait-2" => Start::FinWait2,
        other => panic!("no such start: {other}"),
    }
}

fn play(path: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    let scenario: Scenario = toml::from_str(&text)?;
    let setup = scenario.setup.setup();
    let start = start(&scenario.start);
    let (mut machine, first) = start.machine(&setup, scenario.setup.lateness());
    let mut last_sent = first;
    for step in &scenario.steps {
        play_step(&mut machine, step, &mut last_sent)
            .map_err(|what| format!("{}\nat {}: {what}", scenario.rule, step.at))?;
    }
    for seconds in scenario.measured {
        let end = timeline(&setup, start).last().expect("it ends").at;
        let measured = Duration::from_secs_f64(seconds);
        // Scheduling on a busy machine, and reading the clock.
        let slack = Duration::from_millis(60);
        if measured < end.earliest || measured > end.latest + slack {
            return Err(format!("measured {measured:?}, predicted {end:?}").into());
        }
    }
    Ok(())
}

fn play_step(
    machine: &mut KeepaliveMachine,
    step: &Step,
    last_sent: &mut Option<Sent>,
) -> Result<(), String> {
    let now = time(&step.at);
    while let Some(at) = machine.next_timeout().filter(|at| step.skip && *at < now) {
        machine.on_timer(at);
    }
    let due = machine.next_timeout();
    if let Some(at) = due.filter(|at| *at < now) {
        return Err(format!("a timer was due at {at:?}"));
    }
    let seen = match input(machine, step, now, *last_sent) {
        Some(action) => action,
        None if due == Some(now) => machine.on_timer(now),
        None => return Err(format!("the next timer is due at {due:?}")),
    };
    if let Action::Send(sent) = seen {
        *last_sent = Some(sent);
    }
    let (seen, wanted) = (told(seen), wanted(step));
    if seen != wanted {
        return Err(format!("it {seen}, wanted: {wanted}"));
    }
    let next = machine.next_timeout();
    match step.timer.as_deref() {
        Some("never") if next.is_some() => Err(format!("a timer is due at {next:?}")),
        Some(at) if at != "never" && next != Some(time(at)) => {
            Err(format!("the next timer is due at {next:?}"))
        }
        _ => Ok(()),
    }
}

/// What the machine does with the step's input, `None` if the step is a timer.
fn input(
    machine: &mut KeepaliveMachine,
    step: &Step,
    now: Duration,
    last_sent: Option<Sent>,
) -> Option<Action> {
    if let Some(segment) = &step.receives {
        return Some(machine.on_segment(now, received(segment)));
    }
    if let Some(device) = &step.device {
        assert_eq!(device, "refuses");
        machine.on_congestion(now, last_sent.expect("something was sent"));
        return Some(Action::None);
    }
    if let Some(sysctls) = &step.admin {
        let kernel = NetnsDefaults::KERNEL;
        machine.set_defaults(NetnsDefaults {
            idle_s: sysctls.idle.unwrap_or(kernel.idle_s),
            interval_s: sysctls.interval.unwrap_or(kernel.interval_s),
            probes: sysctls.probes.unwrap_or(kernel.probes),
            ..kernel
        });
        return Some(Action::None);
    }
    step.program
        .as_ref()
        .map(|call| program(machine, now, call))
}

fn received(name: &str) -> Segment {
    match name {
        "ack" => Segment::Ack,
        "stale ack" => Segment::Stale,
        "zero window" => Segment::ZeroWindow,
        "data" => Segment::Data,
        "fin" => Segment::Fin,
        "rst" => Segment::Reset,
        "EHOSTUNREACH" => Segment::Unreachable(Errno::HostUnreachable),
        "ENETUNREACH" => Segment::Unreachable(Errno::NetworkUnreachable),
        "ECONNREFUSED" => Segment::Unreachable(Errno::ConnectionRefused),
        other => panic!("no such segment: {other}"),
    }
}

fn program(machine: &mut KeepaliveMachine, now: Duration, call: &str) -> Action {
    let (name, value) = call.rsplit_once(' ').unwrap_or((call, ""));
    let number = || value.parse::<u64>().expect("a number");
    let option = match (name, value) {
        ("write", _) => return machine.send(now),
        ("close", _) => return machine.close(now),
        ("shutdown", _) => return machine.shut_down(now),
        ("busy until", until) => {
            machine.on_timer_while_owned(now, time(until));
            return Action::None;
        }
        ("keepalive", "on") => SocketOption::KeepaliveOn,
        ("keepalive", "off") => SocketOption::KeepaliveOff,
        ("idle", _) => SocketOption::Idle(KeepIdle::new(number()).unwrap()),
        ("interval", _) => SocketOption::Interval(KeepIntvl::new(number()).unwrap()),
        ("probes", _) => SocketOption::Probes(KeepCnt::new(number()).unwrap()),
        ("user timeout", limit) => SocketOption::UserTimeout(
            UserTimeout::new(time(limit).as_millis().try_into().unwrap()).unwrap(),
        ),
        other => panic!("no such call: {other:?}"),
    };
    machine.set(now, option);
    Action::None
}

fn told(action: Action) -> String {
    let ends = |errno: Option<Errno>, cause: sockpulse_core::machine::Cause| {
        let errno = errno.map_or("unseen", Errno::name);
        format!("ends with {errno} by {}", cause.name())
    };
    match action {
        Action::None => "does nothing".to_owned(),
        Action::Rearmed => "rearms".to_owned(),
        Action::Send(sent) => format!("sends {}", named(sent)),
        Action::GiveUp { errno, cause } | Action::End { errno, cause } => ends(errno, cause),
    }
}

fn named(sent: Sent) -> String {
    match sent {
        Sent::Probe { unanswered } => format!("probe {unanswered}"),
        Sent::Data => "data".to_owned(),
        Sent::TailLossProbe => "tail loss probe".to_owned(),
        Sent::Retransmission { count } => format!("retransmission {count}"),
        Sent::WindowProbe { unanswered } => format!("window probe {unanswered}"),
        Sent::Syn { count } => format!("syn {count}"),
        Sent::SynAck { count } => format!("syn-ack {count}"),
        Sent::Fin { count } => format!("fin {count}"),
    }
}

fn wanted(step: &Step) -> String {
    match (&step.sends, &step.ends) {
        (Some(sent), _) => format!("sends {sent}"),
        (None, Some(end)) => format!("ends with {end}"),
        (None, None) if step.rearms => "rearms".to_owned(),
        (None, None) => "does nothing".to_owned(),
    }
}
