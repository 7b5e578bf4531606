//! What read(2) returns when a connection has ended.

/// The errors with which a connection ends (asm-generic/errno.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errno {
    /// `EPIPE`: RST after the peer had closed.
    BrokenPipe,
    /// `EPROTO`: ICMP, parameter problem.
    Protocol,
    /// `ENETUNREACH`: ICMP, network unreachable.
    NetworkUnreachable,
    /// `ECONNRESET`: RST.
    ConnectionReset,
    /// `ETIMEDOUT`: given up by a timer.
    TimedOut,
    /// `ECONNREFUSED`: RST in answer to a SYN; ICMP, port unreachable.
    ConnectionRefused,
    /// `EHOSTUNREACH`: ICMP, host unreachable, prohibited, or its time exceeded.
    HostUnreachable,
}

impl Errno {
    /// The kernel's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BrokenPipe => "EPIPE",
            Self::Protocol => "EPROTO",
            Self::NetworkUnreachable => "ENETUNREACH",
            Self::ConnectionReset => "ECONNRESET",
            Self::TimedOut => "ETIMEDOUT",
            Self::ConnectionRefused => "ECONNREFUSED",
            Self::HostUnreachable => "EHOSTUNREACH",
        }
    }

    /// The number on the architectures that use asm-generic: all but alpha, mips, parisc and sparc.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::BrokenPipe => 32,
            Self::Protocol => 71,
            Self::NetworkUnreachable => 101,
            Self::ConnectionReset => 104,
            Self::TimedOut => 110,
            Self::ConnectionRefused => 111,
            Self::HostUnreachable => 113,
        }
    }
}
