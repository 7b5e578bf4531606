//! Ending a connection as an administrator (`SOCK_DESTROY`, since 4.5).

use rustix::io::Errno;
use sockpulse_core::{Cookie, SocketId};

use super::{Socket, one, wire};
use crate::error::{Error, Result};

const DESTROY: &str = "destroy a TCP socket through inet_diag";

impl Socket {
    /// Ends a connection; `false` when there is none of this cookie between these ends any more. The
    /// kernel compares the cookie, so that a later connection between the same ends is left alone.
    ///
    /// Its program reads `ECONNABORTED` and keeps its descriptor until it closes it, and a RST is sent
    /// to the peer (`tcp_abort()`, net/ipv4/tcp.c). Without a cookie, which is a number other than 0,
    /// nothing is destroyed.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EPERM` without `CAP_NET_ADMIN` in the user namespace that owns the
    /// network namespace, with `EOPNOTSUPP` where the kernel was built without
    /// `CONFIG_INET_DIAG_DESTROY`.
    #[doc(alias = "SOCK_DESTROY")]
    pub fn destroy(&mut self, id: &SocketId, ifindex: u32) -> Result<bool> {
        if id.cookie == Cookie(0) {
            return Err(Error::Refused {
                request: DESTROY,
                errno: Errno::INVAL,
            });
        }
        let request = one(id, ifindex, 0);
        self.netlink.order(DESTROY, wire::SOCK_DESTROY, &request)
    }
}
