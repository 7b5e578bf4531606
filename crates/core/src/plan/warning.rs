//! What somebody should know who sets a plan: only what is true for it.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::settings::Settings;
use super::wish::{Path, Wish, collision};
use crate::duration::human;
use crate::paths::{self, OnExpiry};
use crate::settings::UserTimeoutChoice;

/// Idle connections that are probed more often than this are a burden (SP006).
const CHATTY_BELOW: Duration = Duration::from_secs(10);

/// Beyond this, losses come in bursts more often than singly.
const HEAVY_LOSS: f64 = 0.1;

/// One thing to know.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The path does not take a probe for traffic.
    ProbesIgnored(Path),
    /// Whether it does is not known.
    ProbesUnproven(Path),
    /// The path ends TCP: probes reach no further.
    EndsTcp(Path),
    /// The first probe ends a connection that the path has already forgotten.
    ResetsForgotten(Path),
    /// A forgotten connection hangs.
    SilentForgotten(Path),
    /// Some box may forget sooner than it is probed.
    PathUnknown {
        /// The time between probes.
        period: Duration,
    },
    /// The idle that was given races with a known timeout.
    Collides {
        /// That timeout.
        timeout: Duration,
    },
    /// Probed very often.
    Chatty {
        /// The time between probes.
        period: Duration,
    },
    /// Without a user timeout data in flight takes long.
    DataInFlight,
    /// A living peer that does not read is given up too.
    ZeroWindow {
        /// The user timeout.
        limit: Duration,
    },
    /// A user timeout on an open connection is a danger.
    OpenConnections {
        /// The user timeout.
        limit: Duration,
    },
    /// The chances are reckoned with single losses.
    HeavyLoss {
        /// An outage that is survived wherever it begins.
        survives: Duration,
    },
}

impl Warning {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ProbesIgnored(_) => "probes-ignored",
            Self::ProbesUnproven(_) => "probes-unproven",
            Self::EndsTcp(_) => "ends-tcp",
            Self::ResetsForgotten(_) => "resets-forgotten",
            Self::SilentForgotten(_) => "silent-forgotten",
            Self::PathUnknown { .. } => "path-unknown",
            Self::Collides { .. } => "collides",
            Self::Chatty { .. } => "chatty",
            Self::DataInFlight => "data-in-flight",
            Self::ZeroWindow { .. } => "zero-window",
            Self::OpenConnections { .. } => "open-connections",
            Self::HeavyLoss { .. } => "heavy-loss",
        }
    }

    /// One sentence without its full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::ProbesIgnored(path) => format!(
                "{} takes no notice of probes and ends a connection without data for {}: the \
                 program has to send something more often than that",
                name(path),
                human(path.timeout)
            ),
            Self::ProbesUnproven(path) => format!(
                "whether {} takes a probe for traffic is not known: try it before you rely on it",
                name(path)
            ),
            Self::EndsTcp(path) => format!(
                "{} ends TCP itself: an answered probe proves that it lives, not what is behind it",
                name(path)
            ),
            Self::ResetsForgotten(path) => format!(
                "{} answers for a forgotten connection with a RST: one that is already silent for \
                 {} is ended by its first probe",
                name(path),
                human(path.timeout)
            ),
            Self::SilentForgotten(path) => format!(
                "{} forgets without a word: what it has already forgotten hangs until it is \
                 noticed like a dead peer",
                name(path)
            ),
            Self::PathUnknown { period } => {
                let first = paths::smallest();
                format!(
                    "silent for {} between probes: {} forgets after {} by default; name what lies \
                     between with --path",
                    human(*period),
                    first.title,
                    human(first.timeout)
                )
            }
            Self::Collides { timeout } => format!(
                "the first probe goes out just when a box with a timeout of {} forgets the \
                 connection: now the one is first, now the other",
                human(*timeout)
            ),
            Self::Chatty { period } => format!(
                "a probe every {} wakes both ends that often; phones cannot sleep (SP006)",
                human(*period)
            ),
            Self::DataInFlight => "without a user timeout data in flight keeps a dead connection \
                for some 15 minutes, whatever keepalive says (tcp_retries2)"
                .into(),
            Self::ZeroWindow { limit } => format!(
                "the user timeout also ends a peer that lives but takes no data for {}",
                human(*limit)
            ),
            Self::OpenConnections { limit } => format!(
                "set on a connection that is silent for {} already, the user timeout ends it \
                 with its first lost probe",
                human(*limit)
            ),
            Self::HeavyLoss { survives } => format!(
                "the chance holds for single losses; an outage is survived for {}",
                human(*survives)
            ),
        }
    }
}

fn name(path: &Path) -> &'static str {
    path.title.unwrap_or("the path")
}

/// What is to be known of these settings for this wish, the gravest first.
pub(super) fn all(wish: &Wish, settings: &Settings) -> alloc::vec::Vec<Warning> {
    let mut warnings = alloc::vec::Vec::new();
    of_path(wish, settings, &mut warnings);
    if wish.fixed.idle.is_some()
        && let Some(timeout) = collision(settings, wish.hz)
    {
        warnings.push(Warning::Collides { timeout });
    }
    let period = settings.period();
    if period < CHATTY_BELOW {
        warnings.push(Warning::Chatty { period });
    }
    if wish.loss.get() >= HEAVY_LOSS {
        let survives = super::survives(settings, wish.hz);
        warnings.push(Warning::HeavyLoss { survives });
    }
    match (settings.user_timeout.duration(), wish.user_timeout()) {
        (None, _) => warnings.push(Warning::DataInFlight),
        (Some(limit), UserTimeoutChoice::Auto | UserTimeoutChoice::Fixed(_)) => {
            warnings.push(Warning::ZeroWindow { limit });
            warnings.push(Warning::OpenConnections { limit });
        }
        (Some(_), UserTimeoutChoice::Off) => {}
    }
    warnings
}

fn of_path(wish: &Wish, settings: &Settings, warnings: &mut alloc::vec::Vec<Warning>) {
    let Some(path) = wish.path else {
        let latest = wish.hz.latest(settings.period());
        if latest >= paths::smallest().timeout {
            let period = settings.period();
            warnings.push(Warning::PathUnknown { period });
        }
        return;
    };
    match path.probe_counts {
        Some(false) => warnings.push(Warning::ProbesIgnored(path)),
        None => warnings.push(Warning::ProbesUnproven(path)),
        Some(true) => {}
    }
    match path.on_expiry {
        OnExpiry::Closes => warnings.push(Warning::EndsTcp(path)),
        OnExpiry::Reset => warnings.push(Warning::ResetsForgotten(path)),
        OnExpiry::Silent => warnings.push(Warning::SilentForgotten(path)),
        _ => {}
    }
}
