//! Rust, with the library `sockpulse` and with the crate socket2.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "rust",
    aliases: &["socket2", "tokio"],
    title: "Rust",
    expresses: ["seconds", "seconds", "a number", "milliseconds"],
    by_itself: "keepalive off",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let (idle, interval) = (settings.idle.get(), settings.interval.get());
    let probes = settings.probes.get();
    let timeout = user_timeout_ms(settings);
    let ours = match timeout {
        Some(millis) => format!("        .user_timeout({})?\n", duration(millis)),
        None => "        .user_timeout_off()\n".to_owned(),
    };
    let sockpulse = format!(
        "use std::os::fd::AsFd;\n\
         use std::time::Duration;\n\
         \n\
         use sockpulse::{{Error, Keepalive}};\n\
         \n\
         fn set_keepalive(socket: impl AsFd) -> Result<(), Error> {{\n\
         \x20   Keepalive::new()\n\
         \x20       .idle(Duration::from_secs({idle}))?\n\
         \x20       .interval(Duration::from_secs({interval}))?\n\
         \x20       .probes({probes})?\n\
         {ours}\
         \x20       .apply(socket)\n\
         }}\n"
    );
    let theirs = match timeout {
        Some(millis) => {
            format!(
                "    socket.set_tcp_user_timeout(Some({}))?;\n",
                duration(millis)
            )
        }
        None => String::new(),
    };
    let socket2 = format!(
        "use std::os::fd::AsFd;\n\
         use std::time::Duration;\n\
         \n\
         use socket2::{{SockRef, TcpKeepalive}};\n\
         \n\
         fn set_keepalive(socket: &impl AsFd) -> std::io::Result<()> {{\n\
         \x20   let socket = SockRef::from(socket);\n\
         {theirs}\
         \x20   socket.set_tcp_keepalive(\n\
         \x20       &TcpKeepalive::new()\n\
         \x20           .with_time(Duration::from_secs({idle}))\n\
         \x20           .with_interval(Duration::from_secs({interval}))\n\
         \x20           .with_retries({probes}),\n\
         \x20   )\n\
         }}\n"
    );
    let mut notes = vec![
        "both take the sockets of std, tokio and async-std; on a listener, accepted connections \
         inherit all of it"
            .to_owned(),
        "socket2 needs its feature \"all\"; it cuts parts of a second off and clamps what the kernel \
         would refuse without a word, sockpulse rounds up and refuses with the limit"
            .to_owned(),
    ];
    if timeout.is_none() {
        notes.push("with socket2 a user timeout that was set before stays".to_owned());
    }
    let snippet = |place: &str, text| Snippet {
        place: place.to_owned(),
        language: "rust",
        text,
        gives: Gives::Connections(exactly(settings)),
    };
    Recipe {
        snippets: vec![
            snippet("with the crate sockpulse", sockpulse),
            snippet("with the crate socket2", socket2),
        ],
        notes,
    }
}

/// In the largest unit that fits.
fn duration(millis: u32) -> String {
    if millis.is_multiple_of(1_000) {
        format!("Duration::from_secs({})", millis / 1_000)
    } else {
        format!("Duration::from_millis({millis})")
    }
}
