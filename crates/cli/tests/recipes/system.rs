//! Defaults of namespaces, units, and software with messages of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use rustix::net::sockopt::set_socket_keepalive;
use sockpulse_cli::software::{Gives, Software};
use sockpulse_core::{Setting, SocketTimers, UserTimeout};

use crate::expected::expect;
use crate::kit::listing::run;
use crate::kit::netns::Netns;
use crate::software::{Folder, command, ready, said, tools};
use crate::{awkward, only, snippets, typical};

/// The sysctls of a namespace are as promised, and a program that asks for keepalive has them.
fn asks(netns: &Netns, gives: &Gives, case: &str) {
    let Gives::Defaults {
        idle_s,
        interval_s,
        probes,
    } = *gives
    else {
        panic!("{case}: {gives:?}");
    };
    for (name, promised) in [("time", idle_s), ("intvl", interval_s), ("probes", probes)] {
        let path = format!("/proc/sys/net/ipv4/tcp_keepalive_{name}");
        let text = netns.run(|| std::fs::read_to_string(&path)).unwrap();
        assert_eq!(text.trim(), promised.to_string(), "{case}: {name}");
    }
    let (listener, client) = netns.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7000)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, client)
    });
    set_socket_keepalive(&client, true).unwrap();
    let inherits = Gives::Connections(SocketTimers {
        keepalive: true,
        idle: Setting::Namespace,
        interval: Setting::Namespace,
        probes: Setting::Namespace,
        user_timeout: UserTimeout::OFF,
    });
    expect(netns, &["--remote", ":7000"], &inherits, case);
    drop(listener);
}

#[test]
fn root_sysctl_takes_the_file() {
    if !ready("sysctl", &[Path::new("sysctl")]) {
        return;
    }
    for settings in [typical(), awkward()] {
        // MySQL follows the same.
        for software in [Software::Sysctl, Software::Mysql] {
            let snippet = only(software, &settings);
            let (netns, folder) = (Netns::anonymous(), Folder::new());
            let file = folder.write("zz-keepalive.conf", &snippet.text);
            said(&netns, command("sysctl").arg("-p").arg(file));
            asks(&netns, &snippet.gives, "sysctl");
        }
    }
}

/// The manifest fits the schema of Kubernetes, and its sysctls do what is promised.
#[test]
fn root_kubernetes_takes_the_pod() {
    let validate = tools().join("bin/kubernetes-validate");
    if !ready("kubernetes", &[Path::new("python3"), &validate]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let snippet = only(Software::Kubernetes, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let head = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: keepalive\n";
        let rest = "  containers:\n  - name: one\n    image: one\n";
        let valid = |name: &str, text: &str| {
            let file = folder.write(name, format!("{head}{text}{rest}"));
            let mut python = command("python3");
            python
                .args(["-m", "kubernetes_validate", "--strict"])
                .arg(file);
            netns.run(|| run(python.env("PYTHONPATH", tools())))
        };
        let ran = valid("pod.yaml", &snippet.text);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        // It would tell.
        let wrong = snippet.text.replace("sysctls", "sysctl");
        assert_ne!(valid("wrong.yaml", &wrong).status, Some(0));

        let file = folder.write("snippet.yaml", &snippet.text);
        let expression = "for s in d['spec']['securityContext']['sysctls']: \
                          print(s['name'] + '=' + s['value'])";
        apply(&netns, &from_yaml(&netns, &file, expression));
        asks(&netns, &snippet.gives, "kubernetes");
    }
}

/// Containers need a daemon or rights that a test machine may not have: the words are taken as the
/// container's runtime takes them.
#[test]
fn root_docker_takes_the_sysctls() {
    let yaml = tools().join("yaml/__init__.py");
    if !ready("docker", &[Path::new("python3"), &yaml]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let [line, compose] = snippets(Software::Docker, &settings);
        let words: Vec<String> = line
            .text
            .split_whitespace()
            .filter(|word| word.starts_with("net."))
            .map(str::to_owned)
            .collect();
        let netns = Netns::anonymous();
        apply(&netns, &words);
        asks(&netns, &line.gives, "docker run");

        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("compose.yaml", &compose.text);
        let expression = "for k, v in d['services']['NAME']['sysctls'].items(): print(f'{k}={v}')";
        apply(&netns, &from_yaml(&netns, &file, expression));
        asks(&netns, &compose.gives, "compose");
    }
}

/// `name=value`, a line each, from a YAML document `d`.
fn from_yaml(netns: &Netns, file: &Path, expression: &str) -> Vec<String> {
    let script = format!("import sys, yaml\nd = yaml.safe_load(open(sys.argv[1]))\n{expression}\n");
    let mut python = command("python3");
    python.args(["-c", &script]).arg(file);
    let lines = said(netns, python.env("PYTHONPATH", tools()));
    lines.lines().map(str::to_owned).collect()
}

fn apply(netns: &Netns, words: &[String]) {
    assert_eq!(words.len(), 3, "{words:?}");
    said(netns, command("sysctl").arg("-w").args(words));
}

#[test]
fn root_systemd_knows_the_unit() {
    if !ready("systemd", &[Path::new("systemd-analyze")]) {
        return;
    }
    let netns = Netns::anonymous();
    for settings in [typical(), awkward()] {
        let snippet = only(Software::Systemd, &settings);
        let verified = |drop_in: &str| {
            let folder = Folder::new();
            let socket = folder.write("one.socket", "[Socket]\nListenStream=127.0.0.1:7000\n");
            folder.write("one.service", "[Service]\nExecStart=/bin/true\n");
            folder.write("one.socket.d/keepalive.conf", drop_in);
            let mut analyze = command("systemd-analyze");
            analyze.args(["verify", "--man=no"]).arg(socket);
            // The colon at the end stands for systemd's own folders.
            let path = format!("{}:", folder.at("").display());
            let ran = netns.run(|| run(analyze.env("SYSTEMD_UNIT_PATH", path)));
            assert_eq!(ran.status, Some(0), "{ran:?}");
            let ours = ran
                .stderr
                .lines()
                .filter(|line| line.contains("keepalive.conf"));
            ours.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(verified(&snippet.text), [""; 0]);
        // It would tell.
        let wrong = snippet
            .text
            .replace("KeepAliveProbes=", "KeepAliveProbes=no");
        assert_eq!(verified(&wrong).len(), 1);
    }
}

#[test]
fn root_openssh_knows_the_words() {
    let programs = ["ssh", "sshd", "ssh-keygen", "unshare"].map(Path::new);
    if !ready("openssh", &programs) {
        return;
    }
    for settings in [typical(), awkward()] {
        let [client, server] = snippets(Software::Openssh, &settings);
        let Gives::Messages {
            every_s,
            unanswered,
        } = client.gives
        else {
            panic!("{:?}", client.gives);
        };
        let promised = |side: &str| {
            [
                format!("{side}aliveinterval {every_s}"),
                format!("{side}alivecountmax {unanswered}"),
                "tcpkeepalive yes".to_owned(),
            ]
        };
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("ssh_config", &client.text);
        let known = said(
            &netns,
            command("ssh").arg("-G").arg("-F").arg(file).arg("host"),
        );
        for line in promised("server") {
            assert!(known.lines().any(|known| known == line), "{line}: {known}");
        }

        let key = folder.at("key");
        let mut keygen = command("ssh-keygen");
        said(
            &netns,
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key),
        );
        let file = folder.write("sshd_config", &server.text);
        // It wants a folder that its unit makes.
        let script = "mount -t tmpfs none /run && mkdir /run/sshd && exec \"$@\"";
        let mut sshd = command("unshare");
        sshd.args(["--mount", "sh", "-c", script, "sh", "/usr/sbin/sshd", "-T"]);
        sshd.arg("-h").arg(key).arg("-f").arg(file);
        let known = said(&netns, &mut sshd);
        for line in promised("client") {
            assert!(known.lines().any(|known| known == line), "{line}: {known}");
        }
    }
}
