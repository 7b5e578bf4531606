//! The sysctls of a network namespace (Documentation/networking/ip-sysctl.rst).

use std::path::Path;
use std::time::Duration;

use sockpulse_core::NetnsDefaults;

use crate::error::{Error, Operation, Result};
use crate::procfs::Proc;

/// Reads the defaults of the **calling thread's** network namespace: `/proc/sys/net` shows the
/// namespace of whoever opens it, whichever process mounted /proc. Needs no privilege.
///
/// Values that older kernels lack fall back on what those kernels do: `tcp_rto_min_us` (since 6.11),
/// `tcp_rto_max_ms` (since 6.15).
///
/// # Errors
/// [`Error::System`] when one of the three keepalive values or `tcp_retries2` cannot be read,
/// [`Error::Malformed`] when it is no number.
pub fn defaults(proc: &Proc) -> Result<NetnsDefaults> {
    let dir = proc.root().join("sys/net/ipv4");
    let kernel = NetnsDefaults::KERNEL;
    let millis = |name, unit: fn(u64) -> Duration, fallback| {
        let value = optional(&dir, name)?;
        Ok::<_, Error>(value.map_or(fallback, unit))
    };
    Ok(NetnsDefaults {
        idle_s: number(&dir, "tcp_keepalive_time")?,
        interval_s: number(&dir, "tcp_keepalive_intvl")?,
        probes: number(&dir, "tcp_keepalive_probes")?,
        retries2: number(&dir, "tcp_retries2")?,
        rto_min: millis("tcp_rto_min_us", Duration::from_micros, kernel.rto_min)?,
        rto_max: millis("tcp_rto_max_ms", Duration::from_millis, kernel.rto_max)?,
    })
}

fn number<N: std::str::FromStr>(dir: &Path, name: &str) -> Result<N> {
    let path = dir.join(name);
    let object = path.to_string_lossy();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(Operation::Read, object.clone(), &error))?;
    text.trim().parse().map_err(|_| Error::Malformed {
        object: object.into_owned(),
    })
}

fn optional(dir: &Path, name: &str) -> Result<Option<u64>> {
    match number(dir, name) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}
