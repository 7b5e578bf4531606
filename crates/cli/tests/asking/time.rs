//! How long asking takes.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Stage;
use crate::kit::pair::THERE;
use crate::kit::socket::{connected, listen};
use crate::kit::sys;

/// Two round trips and ten milliseconds, beside what starting takes.
#[test]
fn root_the_speed_of_one_answer() {
    let Some(stage) = Stage::new("root_the_speed_of_one_answer") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    // The first SYN may be lost, and what is left of it taken for the round trip.
    drop(connected(&stage.pair.here, THERE, &listener));
    let (here, _there) = connected(&stage.pair.here, THERE, &listener);
    let srtt = Duration::from_micros(sys::tcp_info(&here).tcpi_rtt.into());
    let mut walls = Vec::new();
    let mut answered = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let answers = stage.ping(&[]);
        walls.push(started.elapsed());
        let answer = answers.about(&here);
        // What came within half a second of the last answer is not answered by Linux at once.
        if let Some(rtt) = answer["rtt_ms"].as_f64() {
            answered.push(Duration::from_secs_f64(rtt / 1_000.0));
        }
        let pause = Instant::now() + Duration::from_millis(600);
        while Instant::now() < pause {
            std::thread::park_timeout(pause - Instant::now());
        }
    }
    walls.sort();
    answered.sort();
    println!("one connection: srtt {srtt:?}, answers after {answered:?}, whole runs {walls:?}");
    assert!(answered.len() >= 3, "{answered:?}");
    let allowed = 2 * srtt + Duration::from_millis(10);
    assert!(answered[answered.len() / 2] <= allowed, "{answered:?}");
}

const MANY: usize = 10_000;

/// All at once, and no longer than the rate asks for.
#[test]
fn root_ten_thousands_on_loopback() {
    let Some(stage) = Stage::new("root_ten_thousands_on_loopback") else {
        return;
    };
    let netns = &stage.pair.here;
    raise_limit();
    netns
        .run(|| std::fs::write("/proc/sys/net/core/somaxconn", "20000"))
        .unwrap();
    let listener = listen_long(netns);
    let address = listener.1;
    let clients: Vec<TcpStream> = netns.run(|| {
        (0..MANY)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect()
    });
    let pid = std::process::id().to_string();
    let run = |rate: &str| {
        let started = Instant::now();
        let answers = stage.ping(&["--pid", &pid, "--rate", rate, "--state", "established"]);
        (started.elapsed(), answers)
    };
    let (fast, answers) = run("1000000");
    assert_eq!(answers.document["alive"], MANY, "{}", answers.ran.stderr);
    let (paced, answers) = run("5000");
    assert_eq!(answers.document["alive"], MANY, "{}", answers.ran.stderr);
    println!("{MANY} connections over loopback: {fast:?}, at 5,000 probes a second {paced:?}");
    drop(clients);
    // Linux answers the second probe of a connection half a second later.
    let slack = Duration::from_millis(if cfg!(debug_assertions) { 6_000 } else { 2_000 });
    assert!(fast < slack, "{fast:?}");
    assert!(paced < Duration::from_secs(2) + slack, "{paced:?}");
}

fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// A listener with a long queue: nobody accepts.
fn listen_long(netns: &crate::kit::netns::Netns) -> (std::os::fd::OwnedFd, std::net::SocketAddr) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    netns.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::STREAM;
        let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None).unwrap();
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        rustix::net::bind(&socket, &any).unwrap();
        rustix::net::listen(&socket, 20_000).unwrap();
        let address = rustix::net::getsockname(&socket).unwrap();
        let address = std::net::SocketAddr::try_from(address).unwrap();
        (socket, address)
    })
}
