//! The server of PostgreSQL.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "postgresql",
    aliases: &["postgres", "pg"],
    title: "PostgreSQL server",
    expresses: [
        "seconds",
        "seconds",
        "a number",
        "milliseconds (12 and newer)",
    ],
    by_itself: "keepalive on, all values by the kernel's defaults",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let mut text = format!(
        "tcp_keepalives_idle = {}\n\
         tcp_keepalives_interval = {}\n\
         tcp_keepalives_count = {}\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    if let Some(millis) = user_timeout_ms(settings) {
        text.push_str(&format!("tcp_user_timeout = {millis}\n"));
    }
    let mut notes = vec![
        "takes effect with: SELECT pg_reload_conf(); sessions that are open take the values over"
            .to_owned(),
        "while a query runs, the server does not look at its client's socket; \
         client_connection_check_interval (14 and newer, off by default) makes it look"
            .to_owned(),
    ];
    if user_timeout_ms(settings).is_some() {
        notes.push(
            "tcp_user_timeout is known since PostgreSQL 12: leave the line out before".to_owned(),
        );
    }
    Recipe {
        snippets: vec![Snippet {
            place: "postgresql.conf".to_owned(),
            language: "ini",
            text,
            gives: Gives::Connections(exactly(settings)),
        }],
        notes,
    }
}
