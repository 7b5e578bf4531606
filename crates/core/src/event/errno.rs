//! Names of the errors with which connections end.

use crate::machine::Errno;

/// `ECONNABORTED`: destroyed through sock_diag or BPF.
pub(super) const ABORTED: i32 = 103;

/// The kernel's name of an error, by its number in asm-generic/errno.h; `None` for one with which no
/// connection is known to end.
#[must_use]
pub const fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        13 => "EACCES",
        32 => Errno::BrokenPipe.name(),
        64 => "ENONET",
        71 => Errno::Protocol.name(),
        90 => "EMSGSIZE",
        92 => "ENOPROTOOPT",
        95 => "EOPNOTSUPP",
        101 => Errno::NetworkUnreachable.name(),
        ABORTED => "ECONNABORTED",
        104 => Errno::ConnectionReset.name(),
        110 => Errno::TimedOut.name(),
        111 => Errno::ConnectionRefused.name(),
        112 => "EHOSTDOWN",
        113 => Errno::HostUnreachable.name(),
        _ => return None,
    })
}

/// Whether ICMP may have said it: the errors of `icmp_err_convert` (net/ipv4/icmp.c), of
/// `tab_unreach` (net/ipv6/icmp.c), and those of parameter problem and time exceeded.
pub(super) const fn is_unreachable(errno: i32) -> bool {
    matches!(errno, 13 | 64 | 71 | 90 | 92 | 95 | 101 | 111 | 112 | 113)
}
