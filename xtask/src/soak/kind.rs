//! The kinds of connections, and what is true of each.

/// A kind of connection. Each has a program of its own on the server, on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Idle,
    Busy,
    Lossy,
    Closed,
    Stopped,
    Nat,
    Vanished,
    Unplugged,
    Forgotten,
    Control,
}

/// What a verdict is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Alive,
    /// Nothing that is sent arrives at the peer.
    Dead,
    /// Not asked.
    Aside,
}

impl Kind {
    /// Those that are asked.
    pub(super) const ASKED: [Self; 9] = [
        Self::Idle,
        Self::Busy,
        Self::Lossy,
        Self::Closed,
        Self::Stopped,
        Self::Nat,
        Self::Vanished,
        Self::Unplugged,
        Self::Forgotten,
    ];

    pub(super) const fn truth(self) -> Truth {
        match self {
            Self::Idle | Self::Busy | Self::Lossy | Self::Closed | Self::Stopped | Self::Nat => {
                Truth::Alive
            }
            Self::Vanished | Self::Unplugged | Self::Forgotten => Truth::Dead,
            Self::Control => Truth::Aside,
        }
    }

    /// How many of so many living (or so many dead) are of this kind.
    pub(super) fn share(self, connections: usize) -> usize {
        if self == Self::Control {
            return Self::Busy.share(connections);
        }
        let kinds = Self::ASKED.into_iter();
        let alike = kinds.filter(|kind| kind.truth() == self.truth()).count();
        match self {
            // What cannot be divided is idle, or vanished.
            Self::Idle | Self::Vanished => connections - connections / alike * (alike - 1),
            _ => connections / alike,
        }
    }

    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Idle => 5001,
            Self::Busy => 5002,
            Self::Lossy => 5003,
            Self::Closed => 5004,
            Self::Stopped => 5005,
            Self::Nat => 5006,
            Self::Vanished => 5011,
            Self::Unplugged => 5012,
            Self::Forgotten => 5013,
            Self::Control => 5021,
        }
    }

    pub(super) fn of_port(port: u16) -> Option<Self> {
        Self::ASKED.into_iter().find(|kind| kind.port() == port)
    }

    /// What it is, for a table.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy: a block each way every 2 seconds",
            Self::Lossy => "the router drops 30 % at random, each way",
            Self::Closed => "zero window: the peer does not read what is queued",
            Self::Stopped => "the peer's process is stopped (SIGSTOP)",
            Self::Nat => "behind a NAT that remembers them",
            Self::Vanished => "the peer's host is gone, without a word",
            Self::Unplugged => "the peer's cable is out",
            Self::Forgotten => "behind a NAT that has forgotten them, and drops silently",
            Self::Control => "busy, and not asked",
        }
    }

    /// What the programs of the kind do.
    pub(super) const fn manner(self) -> Manner {
        match self {
            Self::Closed => Manner::Flood,
            _ => Manner::Answer,
        }
    }
}

/// What a program on the server does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A block for each block.
    Answer,
    /// As many blocks as the socket takes, at once.
    Flood,
}

impl Manner {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Flood => "flood",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Answer, Self::Flood];
        all.into_iter().find(|manner| manner.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up() {
        for connections in [60, 200, 10_000] {
            for truth in [Truth::Alive, Truth::Dead] {
                let kinds = Kind::ASKED.into_iter();
                let alike = kinds.filter(|kind| kind.truth() == truth);
                let sum: usize = alike.map(|kind| kind.share(connections)).sum();
                assert_eq!(sum, connections);
            }
        }
    }

    #[test]
    fn a_port_tells_the_kind() {
        for kind in Kind::ASKED {
            assert_eq!(Kind::of_port(kind.port()), Some(kind));
        }
        assert_eq!(Kind::of_port(Kind::Control.port()), None);
    }
}
