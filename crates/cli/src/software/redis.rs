//! Redis and Valkey, whose one number decides all.

use sockpulse_core::{Setting, Settings, SocketTimers, UserTimeout};

use super::{About, Gives, Recipe, Snippet, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "redis",
    aliases: &["valkey"],
    title: "Redis, Valkey",
    expresses: ["seconds", "always a third of idle", "always 3", ""],
    by_itself: "tcp-keepalive 300 since Redis 3.2.1: 300 s, 100 s, 3",
};

/// anet.c sets the count itself.
const PROBES: u32 = 3;

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let idle = u32::from(settings.idle.get());
    // anetKeepAlive(): a third, at least one second.
    let interval = (idle / 3).max(1);
    let text = format!("tcp-keepalive {idle}\n");
    let mut notes = vec![format!(
        "one number only: idle {idle} s makes the interval {interval} s (a third) and {PROBES} \
         probes, so an idle dead client is noticed after {} s",
        idle + PROBES * interval
    )];
    notes.extend(no_user_timeout(settings));
    notes.push(format!(
        "at run time: CONFIG SET tcp-keepalive {idle}; it reaches connections accepted from then on"
    ));
    Recipe {
        snippets: vec![Snippet {
            place: "redis.conf or valkey.conf".to_owned(),
            language: "text",
            text,
            gives: Gives::Connections(SocketTimers {
                keepalive: true,
                idle: Setting::Socket(idle),
                interval: Setting::Socket(interval),
                probes: Setting::Socket(PROBES),
                user_timeout: UserTimeout::OFF,
            }),
        }],
        notes,
    }
}
