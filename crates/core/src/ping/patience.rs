//! How often is asked before silence proves a death.

use core::num::NonZeroU16;
use core::time::Duration;

/// How a connection is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// By a segment of our own, sent past the socket. Nothing on it changes.
    Raw,
    /// By the kernel's keepalive, through options that are set for a moment.
    Option,
}

impl Method {
    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Option => "option",
        }
    }
}

/// How many probes must stay unanswered, and how far apart they are, before a peer is dead.
///
/// With 30 % of the packets lost each way a probe is answered with a chance of 0.7 x 0.7 = 49 %. That
/// the peer lives and 24 in a row stay unanswered has a chance of 0.51^24, less than one in ten
/// million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Probes.
    pub probes: NonZeroU16,
    /// The least time from one to the next, and from the last to the verdict. The connection's own
    /// retransmission timeout counts where it is longer. Linux answers one such probe in half a
    /// second (`tcp_invalid_ratelimit`), so that less than that makes a live peer look silent.
    pub spacing: Duration,
}

impl Default for Patience {
    /// 24 probes, 600 ms.
    fn default() -> Self {
        Self {
            probes: const { NonZeroU16::new(24).expect("24 is not zero") },
            spacing: Duration::from_millis(600),
        }
    }
}

impl Patience {
    /// From one probe to the next on a connection with this retransmission timeout.
    #[must_use]
    pub fn wait(&self, rto: Duration) -> Duration {
        self.spacing.max(rto)
    }
}
