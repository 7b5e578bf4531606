//! nginx: what it accepts, and what it opens to upstream servers.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, SYSTEM, Snippet, keepalive_only, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "nginx",
    aliases: &[],
    title: "nginx",
    expresses: [
        "seconds; upstream only on or off",
        "seconds; upstream only on or off",
        "a number; upstream only on or off",
        "",
    ],
    by_itself: "keepalive off on both sides",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let listen = format!(
        "listen 80 so_keepalive={}s:{}s:{};\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    let mut notes = vec![
        "so_keepalive belongs to the address: where several server blocks listen on one, it stands \
         in one of them"
            .to_owned(),
        "towards upstream servers nginx has a switch only: idle, interval and probes are the \
         kernel's defaults there (--for sysctl); the same switch is called \
         fastcgi_socket_keepalive, uwsgi_socket_keepalive, scgi_socket_keepalive, \
         grpc_socket_keepalive and memcached_socket_keepalive for other protocols (1.15.6 and newer)"
            .to_owned(),
        "it takes a restart or a reload for listeners that exist; connections that are open stay \
         as they are"
            .to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![
            Snippet {
                place: "nginx.conf, in server { } of http or stream".to_owned(),
                language: "nginx",
                text: listen,
                gives: Gives::Connections(keepalive_only(settings)),
            },
            Snippet {
                place: "nginx.conf, beside proxy_pass".to_owned(),
                language: "nginx",
                text: "proxy_socket_keepalive on;\n".to_owned(),
                gives: Gives::Connections(SYSTEM),
            },
        ],
        notes,
    }
}
