//! The defaults of a pod's network namespace.

use sockpulse_core::Settings;

use super::{About, Gives, Recipe, Snippet, no_user_timeout};

pub(super) const ABOUT: About = About {
    name: "kubernetes",
    aliases: &["k8s", "pod"],
    title: "Kubernetes pods",
    expresses: ["seconds", "seconds", "1 to 255", ""],
    by_itself: "the kernel's 7200 s, 75 s and 9 in every pod, whatever the node has",
};

pub(super) fn recipe(settings: &Settings) -> Recipe {
    let text = format!(
        "spec:\n\
         \x20 securityContext:\n\
         \x20   sysctls:\n\
         \x20   - name: net.ipv4.tcp_keepalive_time\n\
         \x20     value: \"{}\"\n\
         \x20   - name: net.ipv4.tcp_keepalive_intvl\n\
         \x20     value: \"{}\"\n\
         \x20   - name: net.ipv4.tcp_keepalive_probes\n\
         \x20     value: \"{}\"\n",
        settings.idle.get(),
        settings.interval.get(),
        settings.probes.get()
    );
    let mut notes = vec![
        "these sysctls are safe ones since Kubernetes 1.29 (with a kernel of 4.5 or newer); before, \
         the kubelet needs --allowed-unsafe-sysctls=net.ipv4.tcp_keepalive_*"
            .to_owned(),
        "only programs that switch keepalive on (SO_KEEPALIVE) follow them, and only in the values \
         that they do not set themselves"
            .to_owned(),
        "pods with hostNetwork use the node's and must not set them".to_owned(),
    ];
    notes.extend(no_user_timeout(settings));
    Recipe {
        snippets: vec![Snippet {
            place: "the pod's spec (spec.template.spec of a Deployment)".to_owned(),
            language: "yaml",
            text,
            gives: Gives::defaults(settings),
        }],
        notes,
    }
}
