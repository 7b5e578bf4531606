use std::os::fd::AsFd;
use std::time::Duration;

use sockpulse::{Error, Keepalive};

fn set_keepalive(socket: impl AsFd) -> Result<(), Error> {
    Keepalive::new()
        .idle(Duration::from_secs(120))?
        .interval(Duration::from_secs(20))?
        .probes(5)?
        .user_timeout(Duration::from_secs(220))?
        .apply(socket)
}
