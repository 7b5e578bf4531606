//! The server of MariaDB.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, keepalive_only, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "mariadb",
    aliases: &[],
    title: "MariaDB server",
    expresses: [
        "seconds (10.3.3 and newer)",
        "seconds (10.3.3 and newer)",
        "a number (10.3.3 and newer)",
        "",
    ],
    by_itself: "keepalive on, all values by the kernel's defaults",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let text = format!(
        "[mariadb]\n\
         tcp-keepalive-time = {}\n\
         tcp-keepalive-interval = {}\n\
         tcp-keepalive-probes = {}\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    let mut notes = vec![
        "needs MariaDB 10.3.3; MySQL does not know these and refuses to start with them".to_owned(),
        "at run time: SET GLOBAL tcp_keepalive_time = …; it reaches connections made from then on"
            .to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![Snippet {
            place: "/etc/mysql/mariadb.conf.d/zz-keepalive.cnf".to_owned(),
            language: "ini",
            text,
            gives: Gives::Connections(keepalive_only(settings)),
        }],
        notes,
    }
}
