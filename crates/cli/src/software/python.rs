//! Python, with the module socket.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "python",
    aliases: &[],
    title: "Python",
    expresses: ["seconds", "seconds", "a number", "milliseconds"],
    by_itself: "keepalive off",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let mut text = format!(
        "import socket\n\
         \n\
         \n\
         def set_keepalive(sock):\n\
         \x20   sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, {})\n\
         \x20   sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, {})\n\
         \x20   sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, {})\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    if let Some(millis) = user_timeout_ms(settings) {
        text.push_str(&format!(
            "    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, {millis})\n"
        ));
    }
    text.push_str("    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n");
    let notes = vec![
        "on a listener, accepted connections inherit all of it".to_owned(),
        "asyncio: writer.get_extra_info(\"socket\"); urllib3: HTTPConnection.default_socket_options \
         takes the same three words as a list of tuples"
            .to_owned(),
    ];
    Recipe {
        snippets: vec![Snippet {
            place: "where a socket is made or accepted".to_owned(),
            language: "python",
            text,
            gives: Gives::Connections(exactly(settings)),
        }],
        notes,
    }
}
