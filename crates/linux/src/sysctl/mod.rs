//! The sysctls of a network namespace (Documentation/networking/ip-sysctl.rst), and the files that set
//! them at boot.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sockpulse_core::NetnsDefaults;
use sockpulse_core::persisted::Sysctl;

use crate::error::{Error, Operation, Result};
use crate::procfs::Proc;

pub use files::{MAX_FILE, tree};

mod files;

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

/// Reads one of the three defaults of the **calling thread's** network namespace. Needs no privilege.
///
/// # Errors
/// As [`defaults()`].
pub fn value(proc: &Proc, sysctl: Sysctl) -> Result<i64> {
    number(&proc.root().join("sys"), sysctl.path())
}

/// Writes one of the three defaults of the **calling thread's** network namespace, and reads it back.
/// Needs `CAP_NET_ADMIN` in the user namespace that owns the network namespace, or to be its root
/// (`net_ctl_permissions()`, net/sysctl_net.c).
///
/// # Errors
/// [`Error::System`] with `EACCES` or `EPERM` without that right, `EROFS` where /proc/sys is mounted
/// read-only, as in most containers, `EINVAL` for a value that the kernel does not take
/// ([`Sysctl::range()`]), `ENOENT` in a tree without it. [`Error::NotKept`] when something else is
/// read afterwards: somebody else wrote at the same time.
pub fn set(proc: &Proc, sysctl: Sysctl, value: i64) -> Result<()> {
    let path = proc.root().join("sys").join(sysctl.path());
    let object = || path.to_string_lossy().into_owned();
    let failed = |operation| move |errno| (operation, errno);
    let written = || -> Result<usize, (Operation, Errno)> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
        let file =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(failed(Operation::Open))?;
        // In one piece: the kernel reads a number from what one write brings.
        let text = format!("{value}\n");
        rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes()))
            .map_err(failed(Operation::Write))
    };
    written().map_err(|(operation, errno)| Error::system(operation, object(), errno))?;
    let found = self::value(proc, sysctl)?;
    if found != value {
        return Err(Error::NotKept {
            object: object(),
            wanted: value,
            found,
        });
    }
    Ok(())
}

/// Whether [`set()`] would be let write, as far as opening the file tells. Changes nothing.
///
/// # Errors
/// As [`set()`], but for the value.
pub fn may_set(proc: &Proc, sysctl: Sysctl) -> Result<()> {
    let path = proc.root().join("sys").join(sysctl.path());
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty())
        .map(drop)
        .map_err(|errno| Error::system(Operation::Open, path.to_string_lossy(), errno))
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
