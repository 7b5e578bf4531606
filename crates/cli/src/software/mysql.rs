//! The server of MySQL, which switches keepalive on and chooses nothing.

use sockpulse_core::Settings;

use super::{About, Recipe, sysctl};

pub(super) const ABOUT: About = About {
    name: "mysql",
    aliases: &[],
    title: "MySQL server",
    expresses: ["", "", "", ""],
    by_itself: "keepalive on, all values by the kernel's defaults",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let mut notes = vec![
        "mysqld switches keepalive on by itself (vio_keepalive() in its source) and has no option \
         for the values: the defaults of the network namespace that it runs in decide"
            .to_owned(),
        "its wait_timeout (28,800 s by default) ends idle sessions whether the client lives or not"
            .to_owned(),
    ];
    let defaults = sysctl::recipe(settings);
    notes.extend(defaults.notes);
    Recipe {
        snippets: defaults.snippets,
        notes,
    }
}
