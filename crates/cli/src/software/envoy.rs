//! Envoy: clusters have words for it, listeners the numbers of setsockopt(2).

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "envoy",
    aliases: &["istio"],
    title: "Envoy",
    expresses: [
        "seconds",
        "seconds",
        "a number",
        "milliseconds, by the option's number",
    ],
    by_itself: "keepalive off on both sides",
};

/// The options of Linux by number; Envoy has no names for them.
const SOL_SOCKET: u32 = 1;
const SO_KEEPALIVE: u32 = 9;
const IPPROTO_TCP: u32 = 6;
const TCP_KEEPIDLE: u32 = 4;
const TCP_KEEPINTVL: u32 = 5;
const TCP_KEEPCNT: u32 = 6;
const TCP_USER_TIMEOUT: u32 = 18;

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let (idle, interval) = (settings.idle.get(), settings.interval.get());
    let probes = settings.probes.get();
    let timeout = user_timeout_ms(settings)
        .map(|millis| option("TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, millis));
    let mut cluster = format!(
        "upstream_connection_options:\n\
         \x20 tcp_keepalive:\n\
         \x20   keepalive_time: {idle}\n\
         \x20   keepalive_interval: {interval}\n\
         \x20   keepalive_probes: {probes}\n"
    );
    if let Some(timeout) = &timeout {
        cluster.push_str("upstream_bind_config:\n  socket_options:\n");
        cluster.extend(timeout.lines().map(|line| format!("  {line}\n")));
    }
    let listener = [
        "socket_options:\n".to_owned(),
        option("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1),
        option("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, idle.into()),
        option("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, interval.into()),
        option("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, probes.into()),
        timeout.unwrap_or_default(),
    ];
    let mut notes = vec![
        "on listeners the options are set by the numbers that Linux has for them on x86 and ARM; \
         accepted connections inherit them from the listener"
            .to_owned(),
        "a listener that exists keeps its socket: it takes a restart of Envoy, or a new address"
            .to_owned(),
    ];
    if user_timeout_ms(settings).is_some() {
        notes.push(
            "towards upstream there is no word for the user timeout either: it is set by its number"
                .to_owned(),
        );
    }
    Recipe {
        snippets: vec![
            Snippet {
                place: "a cluster (upstream)".to_owned(),
                language: "yaml",
                text: cluster,
                gives: Gives::Connections(exactly(settings)),
            },
            Snippet {
                place: "a listener (downstream)".to_owned(),
                language: "yaml",
                text: listener.concat(),
                gives: Gives::Connections(exactly(settings)),
            },
        ],
        notes,
    }
}

/// One entry of `socket_options`.
fn option(name: &str, level: u32, number: u32, value: u32) -> String {
    format!(
        "- description: {name}\n\
         \x20 level: {level}\n\
         \x20 name: {number}\n\
         \x20 int_value: {value}\n\
         \x20 state: STATE_PREBIND\n"
    )
}
