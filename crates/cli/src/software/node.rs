//! Node.js, whose older versions have one number.

use sockpulse_core::{Setting, Settings, SocketTimers};

use super::{About, Gives, Recipe, Snippet, keepalive_only, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "node",
    aliases: &["nodejs", "javascript"],
    title: "Node.js",
    expresses: [
        "milliseconds, kept to whole seconds",
        "always 1 s before 26.4",
        "always 10 before 26.4",
        "",
    ],
    by_itself: "keepalive off; http.Agent with keepAlive switches it on with 1 s, 1 s, 10",
};

/// What libuv sets beside the idle time since 1.35.
const INTERVAL_S: u32 = 1;
const PROBES: u32 = 10;

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let idle = u32::from(settings.idle.get());
    let interval = u32::from(settings.interval.get());
    let probes = settings.probes.get();
    let mut notes = vec![
        format!(
            "before 26.4 (24.19 in the series 24) Node has no words for interval and probes: libuv sets {INTERVAL_S} s and \
             {PROBES}, so an idle dead peer is noticed after {} s, and {PROBES} s without an answer \
             end a connection that lives",
            idle + PROBES * INTERVAL_S
        ),
        "older versions ignore the further arguments".to_owned(),
        "servers: net.createServer({ keepAlive: true, keepAliveInitialDelay: … }) does the same for \
         accepted connections"
            .to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![
            Snippet {
                place: "Node before 26.4".to_owned(),
                language: "javascript",
                text: format!("socket.setKeepAlive(true, {});\n", idle * 1_000),
                gives: Gives::Connections(SocketTimers {
                    interval: Setting::Socket(INTERVAL_S),
                    probes: Setting::Socket(PROBES),
                    ..keepalive_only(settings)
                }),
            },
            Snippet {
                place: "Node 26.4 and newer, 24.19 and newer of the series 24".to_owned(),
                language: "javascript",
                text: format!(
                    "socket.setKeepAlive(true, {}, {}, {probes});\n",
                    idle * 1_000,
                    interval * 1_000
                ),
                gives: Gives::Connections(keepalive_only(settings)),
            },
        ],
        notes,
    }
}
