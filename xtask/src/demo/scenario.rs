//! The story of the demo: connect, vanish, and who knows of it.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::redis::{RedisClient, client_list, clients};
use super::screen::Screen;
use super::sockpulse::Sockpulse;
use super::{CLIENT, KIND};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;
use crate::topology::Topology;

/// How many steps [`run`] shows.
pub(super) const STEPS: u8 = 10;

const CLIENT_HOSTS: u8 = 6;
const VANISHING_HOSTS: usize = 4;
const POOL: usize = 60;
/// Each host: a pool, and one `redis-cli subscribe`.
const CONNECTIONS_PER_HOST: usize = POOL + 1;
/// How long those that vanished are silent before sockpulse is asked.
const SILENCE_SECONDS: u64 = 5;
/// How many lines of `list` are shown.
const LINES: usize = 12;
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows all of it and removes it again, also when it fails or is interrupted.
pub(super) fn run(screen: &mut Screen, interrupt: &Interrupt) -> Result<()> {
    screen.step("a network of its own: a server, a router, and six client hosts behind it");
    let mut network = Topology::build(KIND, CLIENT_HOSTS)?;
    let prefix = network.prefix().to_owned();
    println!("$ ip netns list    # {prefix}-server, -router, -client1 … -client{CLIENT_HOSTS}");

    screen.step("redis-server 'tcp-keepalive 0': the default of Redis before 3.2.1");
    start_redis(screen, &mut network, interrupt)?;

    screen.step("each client host opens a pool of 60 connections, and one redis-cli subscribes");
    let all = CONNECTIONS_PER_HOST * network.clients().len();
    connect_clients(screen, &mut network, interrupt)?;

    screen.step("four of the six hosts lose their power: no FIN, no RST, nothing");
    let mut vanished = Vec::new();
    while vanished.len() < VANISHING_HOSTS {
        let name = network.clients().last().map(|host| host.name().to_owned());
        interrupt.check()?;
        let (Some(name), Some(address)) = (name, network.vanish()?) else {
            return Err(Error::Unexpected("a client host to vanish".to_owned()));
        };
        println!("  {name} ({address}): its router drops all, its processes and itself are gone");
        vanished.push(address);
    }

    screen.step("what Redis knows of it");
    show_client_list(screen, &network, all, &vanished, interrupt)?;

    screen.step("what sockpulse knows of it");
    show_sockpulse(&network, interrupt)?;

    screen.step("who of them lives? Each is asked, and nobody notices");
    let busy = show_ping(&network, interrupt)?;

    screen.step("the dead are ended, and the living notice nothing");
    show_reap(screen, &network, busy, interrupt)?;

    screen.step("keepalive for clients that are connected already: the next death is noticed");
    show_protection(screen, &mut network, busy, interrupt)?;

    screen.step("everything is removed again");
    drop(network);
    let left = process::output(Command::new("ip").args(["netns", "list"]))?;
    let left = left
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .count();
    println!("$ ip netns list | grep -c {prefix}\n{left}");
    if left > 0 {
        return Err(Error::Unexpected("no namespace of the demo".to_owned()));
    }
    Ok(())
}

fn start_redis(screen: &Screen, network: &mut Topology, interrupt: &Interrupt) -> Result<()> {
    let mut redis = network.server().command("redis-server");
    redis.args(["--bind", "0.0.0.0", "--protected-mode", "no"]);
    redis.args(["--tcp-keepalive", "0", "--save", ""]);
    screen.command(&redis);
    redis.current_dir(network.directory());
    let pid = network.server_mut().start(&mut redis)?;
    let mut ping = network.server().command("redis-cli");
    ping.arg("ping");
    interrupt.wait_until("an answer of redis-server", PATIENCE, || {
        Ok(ping.output().is_ok_and(|answer| answer.stdout == b"PONG\n"))
    })?;
    println!("  it answers; its process is {pid}");
    Ok(())
}

fn connect_clients(screen: &Screen, network: &mut Topology, interrupt: &Interrupt) -> Result<()> {
    let server = network.server().address();
    // By the process, not by a path: cargo may replace the file while this runs.
    let own = format!("/proc/{}/exe", std::process::id());
    for host in network.clients_mut() {
        let mut pool = host.command(&own);
        let count = POOL.to_string();
        pool.args([CLIENT, &format!("{server}:6379"), &count, host.name()]);
        host.start(&mut pool)?;
        let mut subscriber = host.command("redis-cli");
        subscriber.args(["-h", &server.to_string(), "subscribe", "news"]);
        host.start(&mut subscriber)?;
    }
    let expected = CONNECTIONS_PER_HOST * network.clients().len();
    interrupt.wait_until("all clients connected", PATIENCE, || {
        Ok(clients(network)?.len() == expected)
    })?;
    screen.command(&client_list(network));
    println!("  {expected} clients");
    Ok(())
}

fn show_client_list(
    screen: &Screen,
    network: &Topology,
    all: usize,
    vanished: &[Ipv4Addr],
    interrupt: &Interrupt,
) -> Result<()> {
    println!("  (waiting until the last word of the dead is {SILENCE_SECONDS} s old)");
    let is_dead = |client: &RedisClient| vanished.contains(&client.address);
    interrupt.pause(Duration::from_secs(SILENCE_SECONDS))?;
    interrupt.wait_until("silence", PATIENCE, || {
        let mut clients = clients(network)?.into_iter();
        // Redis counts whole seconds of a clock, so 6 can be little more than 5.
        Ok(clients.all(|client| !is_dead(&client) || client.idle > SILENCE_SECONDS))
    })?;
    let clients = clients(network)?;
    let dead: Vec<&RedisClient> = clients.iter().filter(|client| is_dead(client)).collect();
    screen.command(&client_list(network));
    for client in dead.iter().take(3) {
        println!("{}", client.line);
    }
    println!("…");
    println!(
        "  Redis counts {} clients, as before. {} of them are on hosts that no longer exist,",
        clients.len(),
        dead.len()
    );
    println!("  and it will count them for ever: it has nothing to send, and nobody asks.");
    if clients.len() == all && dead.len() == vanished.len() * CONNECTIONS_PER_HOST {
        return Ok(());
    }
    Err(Error::Unexpected(format!("{all} clients of Redis")))
}

fn show_sockpulse(network: &Topology, interrupt: &Interrupt) -> Result<()> {
    let server = network.server().namespace();
    Sockpulse::new(&["audit", "--netns", server])?.show(interrupt)?;
    println!();

    let silent = format!("{SILENCE_SECONDS}s");
    let list = ["list", "--netns", server, "--silent-for", &silent];
    let columns = [
        "--columns",
        "remote,exposure,idle,silence,detects_idle,owner",
    ];
    let mut list = Sockpulse::new(&[&list[..], &columns[..]].concat())?;
    let table = list.show_beginning(LINES)?;
    let dead = VANISHING_HOSTS * CONNECTIONS_PER_HOST;
    let listed = table.lines().count().saturating_sub(1);
    let Some(quiet) = listed.checked_sub(dead) else {
        return Err(Error::Unexpected(format!("{dead} connections")));
    };
    println!("  {dead} of them are dead, {quiet} are living subscribers that have nothing to say.");
    println!("  Idle is not dead, but where keepalive is off nobody asks, and they look alike.");
    println!();
    expect_check(network, 1, interrupt)
}

/// How many lines of `ping` are shown.
const ANSWERS: usize = 6;

/// Every connection of Redis is asked. The dead do not answer within 24 probes, which takes 15 s.
///
/// Returns how many of them could not be asked: without root the kernel has to do it, and it does not
/// while an answer of Redis is still on its way to them.
fn show_ping(network: &Topology, interrupt: &Interrupt) -> Result<usize> {
    interrupt.check()?;
    let server = network.server().namespace();
    let ping = ["ping", "--netns", server, "--port", "6379"];
    let text = Sockpulse::new(&ping)?.show_findings(ANSWERS)?;
    let dead = VANISHING_HOSTS * CONNECTIONS_PER_HOST;
    let alive = network.clients().len() * CONNECTIONS_PER_HOST;
    let found = |verdict: &str| {
        let lines = text.lines();
        lines.filter(|line| line.starts_with(verdict)).count()
    };
    let busy = found("busy ");
    let silent = dead - busy.min(dead);
    println!("  {silent} did not answer once. {alive} did, the quiet subscribers among them.");
    if busy > 0 {
        println!(
            "  Redis was still sending something to {busy} of the dead when they vanished: without"
        );
        println!(
            "  root these are left to the kernel, which gives them up after a quarter of an hour."
        );
    }
    // The sums begin with the dead too.
    if (found("dead "), found("alive ")) == (silent + 1, alive) {
        return Ok(busy);
    }
    Err(Error::Unexpected(format!("{dead} dead and {alive} living")))
}

/// The dead are ended; Redis reads an error from each and closes it.
fn show_reap(
    screen: &Screen,
    network: &Topology,
    busy: usize,
    interrupt: &Interrupt,
) -> Result<()> {
    let server = network.server().namespace();
    let state = network.directory().join("state");
    let state = state.to_string_lossy();
    let which = ["reap", "--netns", server, "--port", "6379"];
    let how = ["--yes", "--state-dir", &state];
    Sockpulse::new(&[&which[..], &how].concat())?.show(interrupt)?;
    println!();
    screen.command(&client_list(network));
    let living = CONNECTIONS_PER_HOST * network.clients().len();
    interrupt.wait_until("Redis to forget its dead clients", PATIENCE, || {
        Ok(clients(network)?.len() == living + busy)
    })?;
    match busy {
        0 => println!("  {living} clients: those who live."),
        left => println!("  {living} clients who live, and {left} that are left to the kernel."),
    }
    let mut publish = network.server().command("redis-cli");
    publish.args(["publish", "news", "hello"]);
    screen.command(&publish);
    let heard = process::output(&mut publish)?;
    print!("{heard}");
    println!("  To so many subscribers Redis has sent it.");
    // A pool says something on each of its connections once a second.
    let pools = POOL * network.clients().len();
    interrupt.wait_until(
        "an answer on each connection of the pools",
        PATIENCE,
        || {
            let answered = clients(network)?;
            let answered = answered.iter().filter(|client| client.idle <= 1);
            Ok(answered.count() >= pools)
        },
    )?;
    println!("  On each of the {pools} connections of the pools the last command was answered.");
    let expected = network.clients().len();
    let heard: usize = heard.trim().parse().unwrap_or(0);
    // Subscribers that are left to the kernel are counted too.
    if (expected..=expected + busy).contains(&heard) {
        return Ok(());
    }
    Err(Error::Unexpected(
        "every living subscriber to hear".to_owned(),
    ))
}

/// sockpulse sets the open connections; when another host is gone, the kernel gives its connections up,
/// and Redis forgets them.
fn show_protection(
    screen: &Screen,
    network: &mut Topology,
    busy: usize,
    interrupt: &Interrupt,
) -> Result<()> {
    let server = network.server().namespace();
    let state = network.directory().join("state");
    let state = state.to_string_lossy();
    let which = ["protect", "--existing", "--netns", server];
    let whose = ["--program", "redis-server", "--state-dir", &state];
    let settings = ["--idle", "5s", "--interval", "1s", "--probes", "3"];
    let words = [&which[..], &whose, &settings].concat();
    Sockpulse::new(&words)?.show(interrupt)?;
    println!();
    expect_check(network, 0, interrupt)?;

    let Some(address) = network.vanish()? else {
        return Err(Error::Unexpected("a client host to vanish".to_owned()));
    };
    let vanished = Instant::now();
    println!();
    println!("  A fifth host ({address}) loses its power.");
    println!("  (waiting until Redis forgets its clients)");
    interrupt.wait_until("Redis to forget its dead clients", PATIENCE, || {
        let clients = clients(network)?;
        Ok(clients.iter().all(|client| client.address != address))
    })?;
    let took = vanished.elapsed();
    screen.command(&client_list(network));
    let living = clients(network)?.len();
    println!(
        "  {living} clients: the others were given up within {:.1} s, and Redis has closed them.",
        took.as_secs_f64()
    );
    let expected = CONNECTIONS_PER_HOST * network.clients().len() + busy;
    if living == expected {
        return Ok(());
    }
    Err(Error::Unexpected(format!("{expected} clients of Redis")))
}

/// Whether something is unprotected, as a script would ask.
fn expect_check(network: &Topology, code: i32, interrupt: &Interrupt) -> Result<()> {
    let server = network.server().namespace();
    let mut check = Sockpulse::new(&["audit", "--netns", server, "--fail-on", "unprotected"])?;
    println!("$ {} >/dev/null; echo $?", check.typed);
    let status = process::status(check.command.stdout(Stdio::null()), interrupt)?;
    println!("{}", status.code().unwrap_or_default());
    if status.code() == Some(code) {
        return Ok(());
    }
    Err(Error::Unexpected(format!(
        "exit code {code}, it is {status}"
    )))
}
