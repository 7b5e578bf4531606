//! HAProxy, both sides.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "haproxy",
    aliases: &[],
    title: "HAProxy",
    expresses: [
        "seconds (2.3 and newer)",
        "seconds (2.3 and newer)",
        "a number (2.3 and newer)",
        "milliseconds, on bind and server",
    ],
    by_itself: "keepalive off on both sides",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let side = |side: &str| {
        format!(
            "    option {side}tcpka\n\
             \x20   {side}tcpka-idle {}s\n\
             \x20   {side}tcpka-intvl {}s\n\
             \x20   {side}tcpka-cnt {}\n",
            settings.idle.get(),
            settings.interval.get(),
            settings.probes.get()
        )
    };
    let timeout = user_timeout_ms(settings)
        .map(|millis| format!(" tcp-ut {millis}"))
        .unwrap_or_default();
    let mut notes = vec![
        "HAProxy ends a connection without traffic after timeout client and timeout server, \
         whether the peer lives or not: those have to be longer than the idle phases that are \
         wanted"
            .to_owned(),
        "a probe that arrives from one side is answered by the kernel and never passed to the \
         other: both sides need their own"
            .to_owned(),
    ];
    if user_timeout_ms(settings).is_some() {
        notes
            .push("tcp-ut stands on each bind and each server line (or default-server)".to_owned());
    }
    Recipe {
        snippets: vec![
            Snippet {
                place: "haproxy.cfg, section frontend".to_owned(),
                language: "haproxy",
                text: format!("{}    bind :80{timeout}\n", side("cli")),
                gives: Gives::Connections(exactly(settings)),
            },
            Snippet {
                place: "haproxy.cfg, section backend".to_owned(),
                language: "haproxy",
                text: format!("{}    server NAME ADDRESS:80{timeout}\n", side("srv")),
                gives: Gives::Connections(exactly(settings)),
            },
        ],
        notes,
    }
}
