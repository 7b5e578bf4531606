//! The defaults of a container's network namespace.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "docker",
    aliases: &["podman", "compose"],
    title: "Docker, Podman",
    expresses: ["seconds", "seconds", "1 to 255", ""],
    by_itself: "the kernel's 7200 s, 75 s and 9 in every container, whatever the host has",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let (idle, interval) = (settings.idle.get(), settings.interval.get());
    let probes = settings.probes.get();
    let run = format!(
        "docker run \\\n\
         \x20 --sysctl net.ipv4.tcp_keepalive_time={idle} \\\n\
         \x20 --sysctl net.ipv4.tcp_keepalive_intvl={interval} \\\n\
         \x20 --sysctl net.ipv4.tcp_keepalive_probes={probes} \\\n\
         \x20 IMAGE\n"
    );
    let compose = format!(
        "services:\n\
         \x20 NAME:\n\
         \x20   sysctls:\n\
         \x20     net.ipv4.tcp_keepalive_time: {idle}\n\
         \x20     net.ipv4.tcp_keepalive_intvl: {interval}\n\
         \x20     net.ipv4.tcp_keepalive_probes: {probes}\n"
    );
    let mut notes = vec![
        "only programs that switch keepalive on (SO_KEEPALIVE) follow them, and only in the values \
         that they do not set themselves"
            .to_owned(),
        "containers with --network host use the host's and must not set them".to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    let snippet = |place: &str, language, text| Snippet {
        place: place.to_owned(),
        language,
        text,
        gives: Gives::defaults(settings),
    };
    Recipe {
        snippets: vec![
            snippet("the command line (podman run takes the same)", "sh", run),
            snippet("compose.yaml", "yaml", compose),
        ],
        notes,
    }
}
