//! OpenSSH: a switch for keepalive, and messages of its own protocol with values.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "openssh",
    aliases: &["ssh", "sshd"],
    title: "OpenSSH client and server",
    expresses: [
        "on or off; own messages: seconds",
        "on or off; own messages: the same seconds",
        "on or off; own messages: a number",
        "",
    ],
    by_itself: "TCPKeepAlive yes: keepalive on, all values by the kernel's defaults; no messages of \
                its own",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let idle = u32::from(settings.idle.get());
    let unanswered = u32::from(settings.probes.get());
    let by_keepalive = idle + u32::from(settings.interval.get()) * unanswered;
    // After COUNT unanswered messages one more turn passes before it gives up. No rarer than idle,
    // so that the path stays open.
    let every_s = (by_keepalive / (unanswered + 1)).clamp(1, idle);
    let gives = Gives::Messages {
        every_s,
        unanswered,
    };
    let snippet = |place: &str, side: &str| Snippet {
        place: place.to_owned(),
        language: "text",
        text: format!("{side}AliveInterval {every_s}\n{side}AliveCountMax {unanswered}\n"),
        gives,
    };
    let mut notes = vec![
        "TCPKeepAlive is a switch: on by default, its values are the kernel's defaults (--for \
         sysctl)"
            .to_owned(),
        format!(
            "the messages stand for probes: one number is both idle and interval, and {unanswered} \
             unanswered ones end the session at the next turn, after {} s; {by_keepalive} s were \
             asked for",
            every_s * (unanswered + 1)
        ),
        "they are data inside the encrypted connection: they refresh also paths where empty probes \
         do not count, and a peer whose kernel answers but whose ssh hangs is noticed too"
            .to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![
            snippet(
                "~/.ssh/config or /etc/ssh/ssh_config.d/keepalive.conf",
                "Server",
            ),
            snippet("/etc/ssh/sshd_config.d/keepalive.conf", "Client"),
        ],
        notes,
    }
}
