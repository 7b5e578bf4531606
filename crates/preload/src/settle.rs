//! One socket at one moment: read it, decide, set.

use core::ffi::c_int;

use crate::decision::{Held, Step, Timings, decide};
use crate::kernel::{self, SO_KEEPALIVE, TCP_USER_TIMEOUT, TIMINGS};
use crate::request::{Mode, Request, UserTimeout};

/// When a socket is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The program was started with it.
    Inherited,
    /// socket(2) has made it.
    Created,
    /// connect(2) or listen(2) is about to be called, or has been.
    Used,
    /// accept(2) has brought it.
    Accepted,
    /// The program has just set one of its options.
    Asked,
}

/// Sets what the request asks of this socket at this moment. What is no TCP socket is left alone,
/// and so is one that the kernel refuses to tell of: the program never notices.
///
/// As few system calls as possible: connections are made by the ten thousand a second.
pub(crate) fn settle(request: &Request, fd: c_int, moment: Moment) {
    if moment == Moment::Created {
        return settle_new(request, fd);
    }
    let Some(keepalive) = kernel::read(fd, SO_KEEPALIVE) else {
        return;
    };
    // The program's doing, or ours: the common end, after a single system call.
    if request.mode == Mode::Fill && keepalive != 0 {
        return;
    }
    if !is_meant(request, fd) {
        return;
    }
    let Some(held) = held(fd, keepalive != 0, needed(request)) else {
        return;
    };
    if request.mode == Mode::Fill && switched_off(request, &held, moment) {
        return;
    }
    let step = decide(request, &held, None);
    if !step.is_empty() && kernel::is_tcp(fd) {
        apply(fd, &step);
    }
}

/// A stream socket that the program has not seen yet: nobody has asked anything of it.
fn settle_new(request: &Request, fd: c_int) {
    if !kernel::speaks_tcp(fd) {
        return;
    }
    let asked = asked(request);
    // Its values are those of the namespace, which only matter where they are compared or added.
    let tighten = request.mode == Mode::Tighten;
    let reads = needed(request).map(|needed| needed && tighten);
    let auto = request.user_timeout == Some(UserTimeout::Auto);
    let [idle, interval, probes] = asked.map(|asked| auto && !asked);
    let reads = [
        reads[0] || idle,
        reads[1] || interval,
        reads[2] || probes,
        false,
    ];
    if let Some(held) = held(fd, false, reads) {
        apply(fd, &decide(request, &held, None));
    }
}

/// For [`lift_user_timeout`]: what the socket holds before the program's own call.
pub(crate) fn all_held(fd: c_int) -> Option<Held> {
    held(fd, false, [true; 4])
}

/// In [`Mode::Fill`], after the program set timings of its own beside a user timeout of ours: one that
/// is shorter than the probing now takes would kill the connection after a single lost probe.
/// `before` is what the socket held until then.
pub(crate) fn lift_user_timeout(wanted: UserTimeout, fd: c_int, before: &Held) {
    let is_ours = before.user_timeout != 0
        && before.user_timeout == wanted.beside(&before.timings)
        && kernel::is_tcp(fd);
    let Some(now) = all_held(fd).filter(|now| is_ours && now.timings != before.timings) else {
        return;
    };
    let wanted = wanted.beside(&now.timings);
    let fits = u64::from(wanted) >= now.timings.gives_up_after();
    let step = Step {
        user_timeout: Some(if fits { wanted } else { 0 }),
        ..Step::default()
    };
    apply(fd, &step);
}

/// What the socket holds of the three timings and the user timeout, each only if it is to be read and
/// else 0; `None` when it has no timings. Sockets of Multipath TCP have no user timeout.
fn held(fd: c_int, keepalive: bool, reads: [bool; 4]) -> Option<Held> {
    let [idle, interval, probes] = TIMINGS;
    let mut values = [0; 3];
    for ((value, option), read) in values.iter_mut().zip([idle, interval, probes]).zip(reads) {
        if read {
            *value = u32::try_from(kernel::read(fd, option)?).ok()?;
        }
    }
    let [idle, interval, probes] = values;
    let user_timeout = if reads[3] {
        kernel::read(fd, TCP_USER_TIMEOUT)
    } else {
        None
    };
    Some(Held {
        keepalive,
        timings: Timings {
            idle,
            interval,
            probes,
        },
        user_timeout: user_timeout.map_or(0, c_int::cast_unsigned),
    })
}

const fn asked(request: &Request) -> [bool; 3] {
    [
        request.idle.is_some(),
        request.interval.is_some(),
        request.probes.is_some(),
    ]
}

/// The three timings and the user timeout: which of them a decision depends on.
fn needed(request: &Request) -> [bool; 4] {
    let [idle, interval, probes] = asked(request);
    let auto = request.user_timeout == Some(UserTimeout::Auto);
    [
        idle || auto,
        interval || auto,
        probes || auto,
        request.user_timeout.is_some(),
    ]
}

fn is_meant(request: &Request, fd: c_int) -> bool {
    if !request.is_selective() {
        return true;
    }
    kernel::ends(fd).is_some_and(|(local, remote)| request.matches(&local, &remote))
}

/// Whether keepalive is off because the program wants it so. There is no memory of sockets: numbers
/// of descriptors are used again behind our back. But a socket that holds all our values has been
/// through our hands, and we left it switched on.
fn switched_off(request: &Request, held: &Held, moment: Moment) -> bool {
    let Timings {
        idle,
        interval,
        probes,
    } = held.timings;
    let timeout = request
        .user_timeout
        .map(|wanted| wanted.beside(&held.timings));
    let pairs = [
        request.idle.map(|wanted| u32::from(wanted) == idle),
        request.interval.map(|wanted| u32::from(wanted) == interval),
        request.probes.map(|wanted| u32::from(wanted) == probes),
        timeout.map(|wanted| wanted == held.user_timeout),
    ];
    let ours = pairs.iter().flatten().all(|same| *same);
    let any = pairs.iter().flatten().next().is_some();
    match moment {
        Moment::Created => false,
        Moment::Inherited => ours && any,
        // Where every socket is meant, socket() has seen to it, even if no value tells. Where only
        // some are, it was not judged before: the values are ours because everybody has them.
        Moment::Used | Moment::Accepted | Moment::Asked => ours && !request.is_selective(),
    }
}

fn apply(fd: c_int, step: &Step) {
    let [idle, interval, probes] = TIMINGS;
    let values = [
        (idle, step.idle),
        (interval, step.interval),
        (probes, step.probes),
        (TCP_USER_TIMEOUT, step.user_timeout),
    ];
    for (option, value) in values {
        if let Some(value) = value.and_then(|value| c_int::try_from(value).ok()) {
            kernel::set(fd, option, value);
        }
    }
    if step.keepalive {
        kernel::set(fd, SO_KEEPALIVE, 1);
    }
}
