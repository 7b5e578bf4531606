//! Sockets that systemd makes for a service.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, keepalive_only, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "systemd",
    aliases: &["socket-unit"],
    title: "systemd socket units",
    expresses: ["seconds", "seconds", "a number", ""],
    by_itself: "KeepAlive=no",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let text = format!(
        "[Socket]\n\
         KeepAlive=yes\n\
         KeepAliveTimeSec={}\n\
         KeepAliveIntervalSec={}\n\
         KeepAliveProbes={}\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    let mut notes = vec![
        "takes effect with: systemctl daemon-reload && systemctl restart NAME.socket; connections \
         that are open stay as they are"
            .to_owned(),
        "reaches only services that systemd hands the socket to; a service that opens its own \
         listener ignores the unit"
            .to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![Snippet {
            place: "/etc/systemd/system/NAME.socket.d/keepalive.conf".to_owned(),
            language: "ini",
            text,
            gives: Gives::Connections(keepalive_only(settings)),
        }],
        notes,
    }
}
