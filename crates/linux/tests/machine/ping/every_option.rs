//! Everything that getsockopt(2) tells of a connection.

#![expect(unsafe_code, reason = "no wrapper reads options by number")]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};

/// By level and number: the value, or the error number.
pub(super) type Options = BTreeMap<(i32, i32), Result<Vec<u8>, i32>>;

/// Reading these changes something (`SO_ERROR`, `SO_PEERPIDFD`, `TCP_SAVED_SYN`,
/// `TCP_ZEROCOPY_RECEIVE`), or they are clocks and counters (`TCP_INFO`, `TCP_CC_INFO`, `TCP_TIMESTAMP`,
/// `SO_MEMINFO`), or tell where the last packet was handled (`SO_INCOMING_CPU`, `SO_INCOMING_NAPI_ID`).
const LEFT_OUT: [(i32, i32); 10] = [
    (libc::SOL_SOCKET, libc::SO_ERROR),
    (libc::SOL_SOCKET, libc::SO_PEERPIDFD),
    (libc::SOL_SOCKET, libc::SO_MEMINFO),
    (libc::SOL_SOCKET, libc::SO_INCOMING_CPU),
    (libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID),
    (libc::IPPROTO_TCP, libc::TCP_INFO),
    (libc::IPPROTO_TCP, libc::TCP_CC_INFO),
    (libc::IPPROTO_TCP, libc::TCP_TIMESTAMP),
    (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN),
    (libc::IPPROTO_TCP, libc::TCP_ZEROCOPY_RECEIVE),
];

/// All numbers up to 100 of the four levels that a TCP socket has.
pub(super) fn every_option(socket: impl AsFd) -> Options {
    let levels = [
        libc::SOL_SOCKET,
        libc::IPPROTO_TCP,
        libc::IPPROTO_IP,
        libc::IPPROTO_IPV6,
    ];
    let all = levels
        .into_iter()
        .flat_map(|level| (0..=100).map(move |name| (level, name)));
    all.filter(|option| !LEFT_OUT.contains(option))
        .map(|option| (option, read(&socket, option)))
        .collect()
}

/// `tcpi_probes` and `tcpi_segs_out`.
pub(super) fn probes_and_segments_sent(socket: impl AsFd) -> (u8, u32) {
    let info = read(&socket, (libc::IPPROTO_TCP, libc::TCP_INFO)).unwrap();
    (
        info[3],
        u32::from_ne_bytes(*info[136..].first_chunk().unwrap()),
    )
}

fn read(socket: &impl AsFd, (level, name): (i32, i32)) -> Result<Vec<u8>, i32> {
    let mut value = vec![0_u8; 512];
    let mut length = libc::socklen_t::try_from(value.len()).unwrap();
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the value has `length` bytes, and both pointers are to locals.
    let result =
        unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut length) };
    if result < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
    }
    value.truncate(usize::try_from(length).unwrap());
    Ok(value)
}
