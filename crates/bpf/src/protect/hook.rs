//! Where the programs are run.

use libbpf_sys::{
    BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_BIND,
    BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_SETSOCKOPT, BPF_CGROUP_SOCK_OPS, bpf_attach_type,
};

/// A place in the kernel where one of the programs is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// connect(2) to an IPv4 address.
    Connect4,
    /// connect(2) to an IPv6 address, IPv4-mapped ones among them.
    Connect6,
    /// bind(2) to an IPv4 address.
    Bind4,
    /// bind(2) to an IPv6 address.
    Bind6,
    /// setsockopt(2).
    SetSockOpt,
    /// The turning points of every TCP connection.
    SockOps,
}

impl Hook {
    /// All hooks, in the order in which they are attached.
    pub const ALL: [Self; 6] = [
        Self::SetSockOpt,
        Self::SockOps,
        Self::Bind4,
        Self::Bind6,
        Self::Connect4,
        Self::Connect6,
    ];

    /// As the kernel's tools call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect4 => "cgroup/connect4",
            Self::Connect6 => "cgroup/connect6",
            Self::Bind4 => "cgroup/bind4",
            Self::Bind6 => "cgroup/bind6",
            Self::SetSockOpt => "cgroup/setsockopt",
            Self::SockOps => "sockops",
        }
    }

    /// Its file's name; a bpffs takes no dots.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Connect4 => "connect4",
            Self::Connect6 => "connect6",
            Self::Bind4 => "bind4",
            Self::Bind6 => "bind6",
            Self::SetSockOpt => "setsockopt",
            Self::SockOps => "sockops",
        }
    }

    pub(crate) const fn kind(self) -> bpf_attach_type {
        match self {
            Self::Connect4 => BPF_CGROUP_INET4_CONNECT,
            Self::Connect6 => BPF_CGROUP_INET6_CONNECT,
            Self::Bind4 => BPF_CGROUP_INET4_BIND,
            Self::Bind6 => BPF_CGROUP_INET6_BIND,
            Self::SetSockOpt => BPF_CGROUP_SETSOCKOPT,
            Self::SockOps => BPF_CGROUP_SOCK_OPS,
        }
    }
}
