//! C, with the system calls themselves.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "c",
    aliases: &["cpp"],
    title: "C",
    expresses: ["seconds", "seconds", "a number", "milliseconds"],
    by_itself: "keepalive off",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let timeout = user_timeout_ms(settings);
    let declared = timeout.map_or_else(String::new, |millis| {
        format!("    unsigned int user_timeout = {millis}; /* milliseconds */\n")
    });
    let set = if timeout.is_some() {
        "    if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout) != 0)\n\
         \x20       return -1;\n"
    } else {
        ""
    };
    let text = format!(
        "#include <netinet/in.h>\n\
         #include <netinet/tcp.h>\n\
         #include <sys/socket.h>\n\
         \n\
         /* Returns 0, or -1 with errno. On a listener, accepted connections inherit all of it. */\n\
         int set_keepalive(int fd)\n\
         {{\n\
         \x20   int on = 1, idle = {}, interval = {}, probes = {}; /* seconds, seconds, a number */\n\
         {declared}\
         \x20   if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) != 0)\n\
         \x20       return -1;\n\
         \x20   if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) != 0)\n\
         \x20       return -1;\n\
         \x20   if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0)\n\
         \x20       return -1;\n\
         {set}\
         \x20   return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);\n\
         }}\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    Recipe {
        snippets: vec![Snippet {
            place: "where a socket is made or accepted".to_owned(),
            language: "c",
            text,
            gives: Gives::Connections(exactly(settings)),
        }],
        notes: vec![
            "SO_KEEPALIVE comes last, so that the timer is armed once and with these values"
                .to_owned(),
        ],
    }
}
