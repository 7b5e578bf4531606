//! Java, which has the values since JDK 11.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, keepalive_only, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "java",
    aliases: &["jdk", "kotlin"],
    title: "Java",
    expresses: [
        "seconds (JDK 11 and newer)",
        "seconds (JDK 11 and newer)",
        "a number (JDK 11 and newer)",
        "",
    ],
    by_itself: "keepalive off",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let text = format!(
        "import java.io.IOException;\n\
         import java.net.Socket;\n\
         import java.net.StandardSocketOptions;\n\
         import jdk.net.ExtendedSocketOptions;\n\
         \n\
         class Keepalive {{\n\
         \x20   static void set(Socket socket) throws IOException {{\n\
         \x20       socket.setOption(ExtendedSocketOptions.TCP_KEEPIDLE, {});\n\
         \x20       socket.setOption(ExtendedSocketOptions.TCP_KEEPINTERVAL, {});\n\
         \x20       socket.setOption(ExtendedSocketOptions.TCP_KEEPCOUNT, {});\n\
         \x20       socket.setOption(StandardSocketOptions.SO_KEEPALIVE, true);\n\
         \x20   }}\n\
         }}\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    let mut notes = vec![
        "needs JDK 11; SocketChannel takes the same options; many libraries offer SO_KEEPALIVE \
         alone, with the kernel's defaults for the rest"
            .to_owned(),
    ];
    if let Some(note) = no_user_timeout(settings) {
        notes.push(format!(
            "{note}; Netty's epoll transport can (EpollChannelOption.TCP_USER_TIMEOUT)"
        ));
    }
    Recipe {
        snippets: vec![Snippet {
            place: "where a socket is made or accepted".to_owned(),
            language: "java",
            text,
            gives: Gives::Connections(keepalive_only(settings)),
        }],
        notes,
    }
}
