//! Settings of keepalive as the configuration or the code of other software, and what that software
//! cannot express.
//!
//! Each software has a file of its own, with what it can express and the recipe. The tests in
//! `tests/recipes` start the software with the recipe and read the sockets that it then has.

mod c;
mod docker;
mod envoy;
mod go;
mod haproxy;
mod java;
mod kubernetes;
mod libpq;
mod mariadb;
mod mysql;
mod nginx;
mod node;
mod openssh;
mod postgresql;
mod python;
mod redis;
pub(crate) mod reference;
mod rust;
mod sysctl;
mod systemd;
#[cfg(test)]
mod tests;

use std::fmt;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use sockpulse_core::{Setting, Settings, SocketTimers, UserTimeout, human};

/// How one software is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What to write, and where.
    pub snippets: Vec<Snippet>,
    /// What this software cannot express, and what has to be known; a sentence each, without a
    /// full stop at the end.
    pub notes: Vec<String>,
}

/// A text to be put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// Where: a file, or a section of one.
    pub place: String,
    /// The language, as after the fence of a Markdown block.
    pub language: &'static str,
    /// What to write; ends with a line break.
    pub text: String,
    /// What this leads to.
    pub gives: Gives,
}

/// What a snippet leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Connections with these settings; [`Setting::Namespace`] where the kernel's default stays.
    Connections(SocketTimers),
    /// Other defaults of a network namespace, for the programs in it that ask for keepalive.
    Defaults {
        /// `tcp_keepalive_time`, seconds.
        idle_s: u32,
        /// `tcp_keepalive_intvl`, seconds.
        interval_s: u32,
        /// `tcp_keepalive_probes`.
        probes: u32,
    },
    /// Messages of the software's own protocol, in place of the kernel's probes.
    Messages {
        /// Silence before each message, seconds.
        every_s: u32,
        /// As many may stay unanswered; at the next one the connection is given up.
        unanswered: u32,
    },
}

/// What a software can express by itself: the row of the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    /// As after `--for`.
    name: &'static str,
    /// Other words that mean it.
    aliases: &'static [&'static str],
    /// As people write it.
    title: &'static str,
    /// How `idle`, `interval`, `probes` and `user_timeout` are expressed; empty where not at all.
    expresses: [&'static str; 4],
    /// What it does when nothing is configured.
    by_itself: &'static str,
}

macro_rules! software {
    ($($variant:ident $module:ident),* $(,)?) => {
        /// Software for which settings can be written down.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Software {
            $(#[doc = concat!("See `", stringify!($module), ".rs`.")] $variant,)*
        }

        impl Software {
            /// Every one, in the order of the reference: the system, servers, proxies, containers,
            /// languages.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            const fn about(self) -> &'static About {
                match self {
                    $(Self::$variant => &$module::ABOUT,)*
                }
            }

            /// The settings as this software's configuration.
            #[must_use]
            pub fn recipe(self, settings: &Settings) -> Recipe {
                match self {
                    $(Self::$variant => $module::recipe(settings),)*
                }
            }
        }
    };
}

software! {
    Sysctl sysctl,
    Systemd systemd,
    Redis redis,
    Postgresql postgresql,
    Libpq libpq,
    Mariadb mariadb,
    Mysql mysql,
    Nginx nginx,
    Haproxy haproxy,
    Envoy envoy,
    Kubernetes kubernetes,
    Docker docker,
    Openssh openssh,
    C c,
    Rust rust,
    Go go,
    Python python,
    Java java,
    Node node,
}

impl Software {
    /// As written after `--for`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.about().name
    }

    /// As people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.about().title
    }
}

impl ValueEnum for Software {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let about = self.about();
        Some(
            PossibleValue::new(about.name)
                .aliases(about.aliases)
                .help(about.title),
        )
    }
}

/// The user timeout in milliseconds, unless it is off.
fn user_timeout_ms(settings: &Settings) -> Option<u32> {
    let timeout = settings.user_timeout;
    (timeout != UserTimeout::OFF).then(|| timeout.get())
}

/// A socket that has exactly these.
fn exactly(settings: &Settings) -> SocketTimers {
    SocketTimers {
        user_timeout: settings.user_timeout,
        ..keepalive_only(settings)
    }
}

/// A socket that has these but no user timeout.
fn keepalive_only(settings: &Settings) -> SocketTimers {
    SocketTimers {
        keepalive: true,
        idle: Setting::Socket(settings.idle.get().into()),
        interval: Setting::Socket(settings.interval.get().into()),
        probes: Setting::Socket(settings.probes.get().into()),
        user_timeout: UserTimeout::OFF,
    }
}

/// A socket with keepalive on and nothing else set.
const SYSTEM: SocketTimers = SocketTimers {
    keepalive: true,
    idle: Setting::Namespace,
    interval: Setting::Namespace,
    probes: Setting::Namespace,
    user_timeout: UserTimeout::OFF,
};

/// The note of software that cannot set the user timeout that is wanted.
fn no_user_timeout(settings: &Settings) -> Option<String> {
    settings.user_timeout.duration().map(|timeout| {
        format!(
            "cannot set a user timeout ({} was asked for): data in flight is given up by \
             tcp_retries2 alone",
            human(timeout)
        )
    })
}

impl Gives {
    /// These as the defaults of a namespace.
    fn defaults(settings: &Settings) -> Self {
        Self::Defaults {
            idle_s: settings.idle.get().into(),
            interval_s: settings.interval.get().into(),
            probes: settings.probes.get().into(),
        }
    }
}

impl fmt::Display for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(timers) if *timers == SYSTEM => {
                f.write_str("keepalive on, everything else by the kernel's defaults")
            }
            Self::Connections(timers) => {
                write!(f, "idle {}", Value(timers.idle, " s"))?;
                write!(f, ", interval {}", Value(timers.interval, " s"))?;
                write!(f, ", probes {}", Value(timers.probes, ""))?;
                match timers.user_timeout {
                    UserTimeout::OFF => f.write_str(", no user timeout"),
                    timeout => write!(f, ", user timeout {} ms", timeout.get()),
                }
            }
            Self::Defaults {
                idle_s,
                interval_s,
                probes,
            } => write!(
                f,
                "idle {idle_s} s, interval {interval_s} s, probes {probes} for programs that ask \
                 for keepalive"
            ),
            Self::Messages {
                every_s,
                unanswered,
            } => write!(
                f,
                "a message of its own every {every_s} s of silence, given up after {unanswered} \
                 without an answer"
            ),
        }
    }
}

struct Value(Setting<u32>, &'static str);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Setting::Namespace => f.write_str("by the kernel's default"),
            Setting::Socket(value) | Setting::Either(value) => write!(f, "{value}{}", self.1),
        }
    }
}
