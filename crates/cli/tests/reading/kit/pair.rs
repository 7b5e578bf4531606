//! Two hosts: namespaces joined by a cable.

use super::netns::Netns;

/// `here` is read by the tests; `there` are its peers.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) here: Netns,
    pub(crate) there: Netns,
}

/// An address of `here`.
pub(crate) const HERE: &str = "192.0.2.1";
/// An address of `there`.
pub(crate) const THERE: &str = "192.0.2.2";
/// An address of `there` until [`Pair::vanish`].
pub(crate) const VANISHING: &str = "192.0.2.3";
/// Nobody answers there, ever.
pub(crate) const NOBODY: &str = "192.0.2.99";
/// An address of `here`.
pub(crate) const HERE6: &str = "2001:db8::1";
/// An address of `there`.
pub(crate) const THERE6: &str = "2001:db8::2";

/// A hardware address that no device has: frames to it arrive and are dropped.
const NO_DEVICE: &str = "02:00:00:00:00:99";

impl Pair {
    /// Makes both and joins them; needs root.
    pub(crate) fn new() -> Self {
        Self::join(Netns::anonymous(), Netns::anonymous())
    }

    /// Joins two namespaces.
    pub(crate) fn join(here: Netns, there: Netns) -> Self {
        let peer = there.pid();
        here.ip(&format!(
            "link add eth0 type veth peer name eth0 netns {peer}"
        ));
        for (netns, addresses) in [
            (&here, &[HERE, HERE6][..]),
            (&there, &[THERE, VANISHING, THERE6]),
        ] {
            for address in addresses {
                let (length, options) = if address.contains(':') {
                    (64, " nodad")
                } else {
                    (24, "")
                };
                netns.ip(&format!("address add {address}/{length} dev eth0{options}"));
            }
            netns.ip("link set eth0 up");
        }
        let pair = Self { here, there };
        pair.lose(NOBODY);
        pair
    }

    /// From now on nothing that `here` sends to [`VANISHING`] arrives, and nobody says so.
    pub(crate) fn vanish(&self) {
        self.lose(VANISHING);
    }

    fn lose(&self, address: &str) {
        self.here.ip(&format!(
            "neighbour replace {address} lladdr {NO_DEVICE} dev eth0 nud permanent"
        ));
    }
}
