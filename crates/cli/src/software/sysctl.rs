//! The defaults of a network namespace.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "sysctl",
    aliases: &["kernel", "linux"],
    title: "Linux defaults (sysctl)",
    expresses: ["seconds", "seconds", "1 to 255", ""],
    by_itself: "7200 s, 75 s, 9; used by programs that switch keepalive on and choose nothing else",
};

/// Late in the order of sysctl.d(5), so that few files override it.
const FILE: &str = "/etc/sysctl.d/zz-keepalive.conf";

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let (idle, interval, probes) = (settings.idle, settings.interval, settings.probes);
    let text = format!(
        "net.ipv4.tcp_keepalive_time = {}\n\
         net.ipv4.tcp_keepalive_intvl = {}\n\
         net.ipv4.tcp_keepalive_probes = {}\n",
        idle.get(),
        interval.get(),
        probes.get()
    );
    let mut notes = vec![
        format!("takes effect at once with: sysctl -p {FILE}"),
        "only programs that switch keepalive on (SO_KEEPALIVE) follow these, and only in the values \
         that they do not set themselves; on a socket whose program never asked, nothing changes"
            .to_owned(),
        "each network namespace has its own: containers start with the kernel's 7200, 75 and 9, \
         whatever the host has"
            .to_owned(),
        "IPv6 connections follow them too, in spite of the name".to_owned(),
    ];
    if user_timeout_ms(settings).is_some() {
        notes.push(
            "there is no sysctl for the user timeout: programs set it on the socket".to_owned(),
        );
    }
    Recipe {
        snippets: vec![Snippet {
            place: FILE.to_owned(),
            language: "ini",
            text,
            gives: Gives::defaults(settings),
        }],
        notes,
    }
}
