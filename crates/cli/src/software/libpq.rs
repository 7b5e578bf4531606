//! Clients of PostgreSQL that use its library, psql among them.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "libpq",
    aliases: &["psql"],
    title: "PostgreSQL clients (libpq)",
    expresses: [
        "seconds",
        "seconds",
        "a number",
        "milliseconds (12 and newer)",
    ],
    by_itself: "keepalive on, all values by the kernel's defaults",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let mut words = vec![
        "keepalives=1".to_owned(),
        format!("keepalives_idle={}", settings.idle.get()),
        format!("keepalives_interval={}", settings.interval.get()),
        format!("keepalives_count={}", settings.probes.get()),
    ];
    let mut notes = vec![
        "the words are the same in a connection string without a URL, with spaces in place of &"
            .to_owned(),
        "drivers that do not use libpq (JDBC, Go, Node) have other names for it or only a switch"
            .to_owned(),
    ];
    if let Some(millis) = user_timeout_ms(settings) {
        words.push(format!("tcp_user_timeout={millis}"));
        notes.push("tcp_user_timeout is known since libpq 12: leave it out before".to_owned());
    }
    Recipe {
        snippets: vec![Snippet {
            place: "the connection string".to_owned(),
            language: "text",
            text: format!("postgresql://USER@HOST:5432/DATABASE?{}\n", words.join("&")),
            gives: Gives::Connections(exactly(settings)),
        }],
        notes,
    }
}
