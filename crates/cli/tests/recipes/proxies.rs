//! Proxies, on both sides.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use rustix::process::Signal;
use sockpulse_cli::software::{Gives, Software};

use crate::expected::expect;
use crate::kit::netns::Netns;
use crate::servers::connect;
use crate::software::{Daemon, Folder, command, ready, said, tools};
use crate::{awkward, snippets, typical};

/// Where the server behind the proxies listens.
const UPSTREAM: u16 = 9000;

/// A client connects to port 80 of a proxy, which then connects to its upstream: both connections
/// are as promised.
fn both_sides(netns: &Netns, client: &Gives, upstream: &Gives, case: &str) {
    let address = (Ipv4Addr::LOCALHOST, UPSTREAM);
    let listener = netns.run(|| TcpListener::bind(address)).unwrap();
    let mut connection = connect(netns, 80);
    // A proxy of HTTP waits for it.
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    expect(netns, &["--local", ":80"], client, case);
    expect(netns, &["--remote", ":9000"], upstream, case);
    drop(listener);
}

#[test]
fn root_nginx_does_as_configured() {
    if !ready("nginx", &[Path::new("nginx")]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let [listen, upstream] = snippets(Software::Nginx, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path temporary;\n"))
            .concat();
        let file = folder.write(
            "nginx.conf",
            format!(
                "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{ }}\n\
                 http {{\n{temporary}access_log off;\nserver {{\n{}location / {{\n\
                 proxy_pass http://127.0.0.1:{UPSTREAM};\n{}}}\n}}\n}}\n",
                listen.text, upstream.text
            ),
        );
        let nginx = || {
            let mut nginx = command("nginx");
            nginx.arg("-p").arg(folder.at("")).arg("-c").arg(&file);
            nginx
        };
        said(&netns, nginx().arg("-t"));
        let _nginx = Daemon::start(&netns, &mut nginx(), Signal::INT);
        both_sides(&netns, &listen.gives, &upstream.gives, "nginx");
    }
}

#[test]
fn root_haproxy_does_as_configured() {
    if !ready("haproxy", &[Path::new("haproxy")]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let [frontend, backend] = snippets(Software::Haproxy, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let upstream = format!("server one 127.0.0.1:{UPSTREAM}");
        let file = folder.write(
            "haproxy.cfg",
            format!(
                "defaults\n    mode tcp\n    timeout connect 1m\n    timeout client 1m\n    \
                 timeout server 1m\n\
                 frontend clients\n{}    default_backend servers\n\
                 backend servers\n{}",
                frontend.text,
                backend.text.replace("server NAME ADDRESS:80", &upstream)
            ),
        );
        said(&netns, command("haproxy").args(["-c", "-f"]).arg(&file));
        let mut haproxy = command("haproxy");
        let haproxy = haproxy.args(["-db", "-f"]).arg(&file);
        let _haproxy = Daemon::start(&netns, haproxy, Signal::INT);
        both_sides(&netns, &frontend.gives, &backend.gives, "haproxy");
    }
}

#[test]
fn root_envoy_does_as_configured() {
    let envoy = tools().join("envoy/_bin/envoy");
    if !ready("envoy", &[&envoy]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let [cluster, listener] = snippets(Software::Envoy, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write(
            "envoy.yaml",
            format!(
                r#"
static_resources:
  listeners:
  - name: clients
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 80 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: servers
{}  clusters:
  - name: servers
    type: STATIC
    connect_timeout: 60s
    load_assignment:
      cluster_name: servers
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {UPSTREAM} }} }}
{}"#,
                indented(&listener.text),
                indented(&cluster.text)
            ),
        );
        let run = |mode: &str| {
            let mut command = command(&envoy);
            command.args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--mode",
                mode,
            ]);
            command.arg("-c").arg(&file);
            command
        };
        said(&netns, &mut run("validate"));
        let _envoy = Daemon::start(&netns, &mut run("serve"), Signal::TERM);
        both_sides(&netns, &listener.gives, &cluster.gives, "envoy");
    }
}

/// As it stands in an entry of a list.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
