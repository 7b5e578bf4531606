//! redis-server, whose clients are dead and stay in its list.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::kit::deadline::wait_for;
use crate::kit::listing::Row;
use crate::kit::pair::{HERE, Pair, VANISHING};
use crate::kit::redis::{Client, PORT, Server};
use crate::kit::stage::{Has, Stage};
use crate::software::ready;

const CLIENTS: [&str; 4] = ["--program", "redis-server", "--state", "established"];
/// The test may look late; the kernel may not be early.
const SLACK: Duration = Duration::from_millis(300);

/// Clients without keepalive gain it, and those whose host vanishes then leave `CLIENT LIST` when
/// they were said to; the others stay, and Redis was neither told nor started anew.
#[test]
fn root_deaths_of_redis_clients_come_when_predicted() {
    if !ready("redis", &[Path::new("redis-server")]) {
        return;
    }
    let stage = Stage::new();
    let server = Server::start(&stage.pair);
    let mut asking = Client::connect(&stage.pair);
    let living = [(); 2].map(|()| Client::connect(&stage.pair));
    let dying = [(); 3].map(|()| vanishing_client(&stage.pair));
    stage.expect(&CLIENTS, 6, Has::NOTHING);

    let words = ["--program", "redis-server", "--idle", "3s"];
    let words = [&words[..], &["--interval", "1s", "--probes", "3"]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (6, 1), "{report:#?}");
    let protected = Instant::now();
    // Idle times this short are not made different.
    stage.expect(&CLIENTS, 6, Has::on(3, 1, 3));
    assert!(
        stage.protect(&words).is_idle(),
        "again there is nothing to do"
    );
    // Who comes later inherits it from the listener.
    let later = Client::connect(&stage.pair);
    let of_later = format!("{}", address(&later));
    let later_words = [&CLIENTS[..], &["--remote", &of_later]].concat();
    stage.expect(&later_words, 1, Has::on(3, 1, 3));

    let doomed: Vec<SocketAddr> = dying.iter().map(address).collect();
    // From here on every answer to a probe is younger than the change.
    wait_for("an answer to a probe from each", || {
        let rows = by_client(stage.rows(&CLIENTS));
        let answered = |client: &SocketAddr| {
            let silence = rows[client].number("/silence_ms").unwrap();
            Duration::from_millis(silence) + SLACK < protected.elapsed()
        };
        doomed.iter().all(answered).then_some(())
    });
    stage.pair.vanish();
    let before = Instant::now();
    let rows = by_client(stage.rows(&CLIENTS));
    let after = Instant::now();

    let mut gone: BTreeMap<SocketAddr, Instant> = BTreeMap::new();
    wait_for("Redis to forget its dead clients", || {
        let clients = asking.clients();
        for client in doomed.iter().filter(|client| !clients.contains_key(client)) {
            gone.entry(*client).or_insert_with(Instant::now);
        }
        (gone.len() == doomed.len()).then_some(())
    });
    for (client, gone) in gone {
        let row = &rows[&client];
        let silence = Duration::from_millis(row.number("/silence_ms").unwrap());
        let by_settings = row.at("/detects_idle_s").as_f64().unwrap();
        let latest = row.at("/detects_idle_latest_s").as_f64().unwrap();
        let (least, most) = (gone - after + silence, gone - before + silence);
        println!(
            "{client} left {:.3} s after its last segment; predicted {by_settings} to {latest} s",
            least.as_secs_f64()
        );
        assert_eq!(by_settings.to_bits(), 6_f64.to_bits(), "{row:?}");
        assert!(
            most >= Duration::from_secs(6) && least <= Duration::from_secs_f64(latest) + SLACK,
            "{client} left after {least:?} to {most:?}: {row:?}"
        );
    }
    let mut expected: Vec<SocketAddr> = living.iter().map(address).collect();
    expected.extend([address(&asking), address(&later)]);
    expected.sort();
    let stay: Vec<SocketAddr> = asking.clients().into_keys().collect();
    assert_eq!(stay, expected, "nobody else left");
    let same = stage.rows(&CLIENTS);
    let pid = Some(u64::from(server.0.id()));
    assert!(same.iter().all(|row| row.number("/owner/pid") == pid));
}

/// On the other host, at the address that will vanish.
fn vanishing_client(pair: &Pair) -> Client {
    let [from, to] = [(VANISHING, 0), (HERE, PORT)]
        .map(|(address, port)| SocketAddr::new(address.parse().unwrap(), port));
    let socket = pair.there.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &from).unwrap();
        connect(&socket, &to).unwrap();
        socket
    });
    Client(BufReader::new(socket.into()))
}

/// Its end of the connection.
fn address(client: &Client) -> SocketAddr {
    client.0.get_ref().local_addr().unwrap()
}

fn by_client(rows: Vec<Row>) -> BTreeMap<SocketAddr, Row> {
    let rows = rows.into_iter();
    rows.map(|row| (SocketAddr::from(row.end("remote")), row))
        .collect()
}
