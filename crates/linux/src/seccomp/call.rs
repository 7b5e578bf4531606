//! System calls as each calling convention numbers them.

use libc::{c_int, c_long};

/// A system call that is held until it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// connect(2).
    Connect,
    /// listen(2).
    Listen,
    /// setsockopt(2) of an option that keepalive knows.
    SetOption,
    /// socket(2) of a TCP socket.
    Socket,
    /// socketcall(2) of 32-bit programs, which has the others behind a pointer.
    Multiplexed,
}

/// A calling convention: a value of `seccomp_data.arch`, and its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Convention {
    /// `AUDIT_ARCH_…`.
    pub(super) arch: u32,
    /// Number and call; x32's are those of x86-64 with a bit set, and one of its own.
    pub(super) calls: &'static [(u32, Call)],
}

use Call::{Connect, Listen, Multiplexed, SetOption, Socket};

/// Every convention that a program on this machine may use.
#[cfg(target_arch = "x86_64")]
pub(super) const CONVENTIONS: &[Convention] = &[
    Convention {
        arch: 0xc000_003e,
        calls: &[
            (42, Connect),
            (50, Listen),
            (54, SetOption),
            (41, Socket),
            (X32 | 42, Connect),
            (X32 | 50, Listen),
            (X32 | 541, SetOption),
            (X32 | 54, SetOption),
            (X32 | 41, Socket),
        ],
    },
    Convention {
        arch: 0x4000_0003,
        calls: &[
            (362, Connect),
            (363, Listen),
            (366, SetOption),
            (359, Socket),
            (102, Multiplexed),
        ],
    },
];

/// `__X32_SYSCALL_BIT`.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Every convention that a program on this machine may use.
#[cfg(target_arch = "aarch64")]
pub(super) const CONVENTIONS: &[Convention] = &[
    Convention {
        arch: 0xc000_00b7,
        calls: &[
            (203, Connect),
            (201, Listen),
            (208, SetOption),
            (198, Socket),
        ],
    },
    Convention {
        arch: 0x4000_0028,
        calls: &[
            (283, Connect),
            (284, Listen),
            (294, SetOption),
            (281, Socket),
        ],
    },
];

/// Elsewhere nothing is held.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const CONVENTIONS: &[Convention] = &[];

/// The calls behind socketcall(2) (include/uapi/linux/net.h).
pub(super) const MULTIPLEXED: [(u32, Call); 4] =
    [(3, Connect), (4, Listen), (14, SetOption), (1, Socket)];

/// Which call a number stands for.
pub(super) fn named(arch: u32, number: c_long) -> Option<Call> {
    let number = u32::try_from(number).ok()?;
    let convention = CONVENTIONS.iter().find(|known| known.arch == arch)?;
    let mut calls = convention.calls.iter();
    calls
        .find(|(known, _)| *known == number)
        .map(|(_, call)| *call)
}

/// The options of level `IPPROTO_TCP` that keepalive knows.
pub(super) const TCP_OPTIONS: [c_int; 4] = [
    libc::TCP_KEEPIDLE,
    libc::TCP_KEEPINTVL,
    libc::TCP_KEEPCNT,
    libc::TCP_USER_TIMEOUT,
];

/// Whether keepalive knows an option.
pub(super) fn is_of_keepalive(level: c_int, name: c_int) -> bool {
    match level {
        libc::SOL_SOCKET => name == libc::SO_KEEPALIVE,
        libc::IPPROTO_TCP => TCP_OPTIONS.contains(&name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_are_those_of_the_c_library() {
        for (number, call) in [
            (libc::SYS_connect, Connect),
            (libc::SYS_listen, Listen),
            (libc::SYS_setsockopt, SetOption),
            (libc::SYS_socket, Socket),
        ] {
            assert_eq!(named(0xc000_003e, number), Some(call));
        }
        assert_eq!(named(0x4000_0003, 42), None);
        assert_eq!(named(0xc000_003e, -1), None);
    }
}
