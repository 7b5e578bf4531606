//! Go, which has words for keepalive since 1.23.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, exactly, user_timeout_ms};

pub(super) const ABOUT: About = About {
    name: "go",
    aliases: &["golang"],
    title: "Go",
    expresses: [
        "nanoseconds, kept to whole seconds",
        "nanoseconds, kept to whole seconds (1.23 and newer)",
        "a number (1.23 and newer)",
        "milliseconds, through SyscallConn",
    ],
    by_itself: "keepalive on: idle 15 s, interval 15 s, 9 probes (1.23 and newer)",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let (idle, interval) = (settings.idle.get(), settings.interval.get());
    let probes = settings.probes.get();
    let config = format!(
        "var keepAlive = net.KeepAliveConfig{{\n\
         \tEnable:   true,\n\
         \tIdle:     {idle} * time.Second,\n\
         \tInterval: {interval} * time.Second,\n\
         \tCount:    {probes},\n\
         }}\n\
         \n\
         var dialer = net.Dialer{{KeepAliveConfig: keepAlive{}}}\n\
         var listener = net.ListenConfig{{KeepAliveConfig: keepAlive{}}}\n",
        control(settings),
        control(settings)
    );
    let timeout = user_timeout_ms(settings).map(|millis| {
        format!(
            "\n\
             func control(_, _ string, raw syscall.RawConn) error {{\n\
             \tconst TCP_USER_TIMEOUT = 18 // package syscall has no name for it\n\
             \tvar result error\n\
             \terr := raw.Control(func(fd uintptr) {{\n\
             \t\tresult = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, TCP_USER_TIMEOUT, {millis})\n\
             \t}})\n\
             \tif err != nil {{\n\
             \t\treturn err\n\
             \t}}\n\
             \treturn result\n\
             }}\n"
        )
    });
    let imports = if timeout.is_some() {
        "import (\n\t\"net\"\n\t\"syscall\"\n\t\"time\"\n)\n"
    } else {
        "import (\n\t\"net\"\n\t\"time\"\n)\n"
    };
    let mut notes = vec![
        "needs Go 1.23; before, Dialer.KeepAlive and ListenConfig.KeepAlive take one duration for \
         both idle and interval, and the count is the kernel's default: the rest is set through \
         TCPConn.SyscallConn"
            .to_owned(),
        "http.Server and http.Transport take the connections of a listener and a dialer like these"
            .to_owned(),
    ];
    if user_timeout_ms(settings).is_some() {
        notes.push(
            "the user timeout has no field: it is set as a socket option, and accepted \
                    connections inherit it from the listener"
                .to_owned(),
        );
    }
    Recipe {
        snippets: vec![Snippet {
            place: "where connections are made or accepted".to_owned(),
            language: "go",
            text: format!("{imports}\n{config}{}", timeout.unwrap_or_default()),
            gives: Gives::Connections(exactly(settings)),
        }],
        notes,
    }
}

fn control(settings: &Settings) -> &'static str {
    if user_timeout_ms(settings).is_some() {
        ", Control: control"
    } else {
        ""
    }
}
