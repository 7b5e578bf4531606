//! System calls that have no safe wrapper.

#![expect(
    unsafe_code,
    reason = "own namespaces, TCP_INFO, packet sockets and a child's death signal have no safe wrapper"
)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a new network namespace.
pub(crate) fn unshare_network() -> Result<(), Errno> {
    // SAFETY: the flag concerns network namespaces alone; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the process, which must have one thread, into a new user namespace.
pub(crate) fn unshare_user() -> Result<(), Errno> {
    // SAFETY: the flag concerns user namespaces alone; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }
}

/// The program that the command starts is killed when the calling *thread* ends, however it ends.
pub(crate) fn die_with_this_thread(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let die = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before that, and nobody would tell.
        match getppid() {
            Some(found) if found == parent => Ok(()),
            _ => Err(Errno::SRCH.into()),
        }
    };
    // SAFETY: between fork and exec only prctl(2) and getppid(2) are called, which are
    // async-signal-safe; nothing is allocated.
    unsafe { command.pre_exec(die) }
}

/// What `TCP_INFO` tells that the lab uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Since the last segment that counts as heard: data, or an acknowledgement.
    pub(crate) silence: Duration,
    /// The retransmission timeout as it is now, backed off or not.
    pub(crate) rto: Duration,
    /// Unanswered probes.
    pub(crate) probes: u8,
    /// Data segments that are not acknowledged.
    pub(crate) unacked: u32,
    /// Bytes that were written and not sent.
    pub(crate) not_sent: u32,
}

/// Asks for it.
pub(crate) fn tcp_info(socket: impl AsFd) -> Result<TcpInfo, Errno> {
    // SAFETY: tcp_info holds plain numbers, for which zeroes are valid.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut len = socklen::<libc::tcp_info>();
    let fd = socket.as_fd().as_raw_fd();
    let to = (&raw mut info).cast();
    // SAFETY: `to` points to `len` bytes that live across the call.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut len) };
    checked(result)?;
    let silence = info.tcpi_last_data_recv.min(info.tcpi_last_ack_recv);
    Ok(TcpInfo {
        silence: Duration::from_millis(silence.into()),
        rto: Duration::from_micros(info.tcpi_rto.into()),
        probes: info.tcpi_probes,
        unacked: info.tcpi_unacked,
        not_sent: info.tcpi_notsent_bytes,
    })
}

/// A socket that sees every packet of the calling thread's namespace on the interface, from its IP
/// header on, with the kernel's time of each.
pub(crate) fn packet_socket(interface: &str) -> Result<OwnedFd, Errno> {
    let every = libc::ETH_P_ALL.cast_unsigned();
    let protocol = u16::try_from(every).map_err(|_| Errno::INVAL)?.to_be();
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        // Protocol 0: nothing arrives before it is bound.
        None,
    )?;
    let on: i32 = 1;
    let (from, len) = ((&raw const on).cast(), socklen::<i32>());
    let (level, option) = (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS);
    // SAFETY: `from` points to `len` bytes that live across the call.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, from, len) })?;
    let name = std::ffi::CString::new(interface).map_err(|_| Errno::INVAL)?;
    // SAFETY: the name ends with a zero and lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        // It would listen on every interface.
        return Err(Errno::NODEV);
    }
    // SAFETY: sockaddr_ll holds plain numbers, for which zeroes are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(|_| Errno::INVAL)?;
    address.sll_protocol = protocol;
    address.sll_ifindex = i32::try_from(index).map_err(|_| Errno::INVAL)?;
    let len = socklen::<libc::sockaddr_ll>();
    let from = (&raw const address).cast();
    // SAFETY: `from` points to `len` bytes that live across the call.
    checked(unsafe { libc::bind(socket.as_raw_fd(), from, len) })?;
    Ok(socket)
}

/// What [`packet_socket`] says of a packet besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// How many bytes were written into the buffer.
    pub(crate) length: usize,
    /// Whether this host sent it.
    pub(crate) outgoing: bool,
    /// When the kernel saw it, by the clock on the wall.
    pub(crate) at: Duration,
}

/// Room for one control message of a timestamp.
#[repr(align(8))]
struct Control([u8; 64]);

/// Takes one packet; what is longer than the buffer is cut off.
pub(crate) fn receive_packet(socket: impl AsFd, buffer: &mut [u8]) -> Result<Envelope, Errno> {
    // SAFETY: sockaddr_ll holds plain numbers, for which zeroes are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut control = Control([0; 64]);
    let mut piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr holds numbers and pointers, for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = socklen::<libc::sockaddr_ll>();
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer of the message is to memory that lives across the call, with its length.
    let length = unsafe {
        libc::recvmsg(
            socket.as_fd().as_raw_fd(),
            &raw mut message,
            libc::MSG_DONTWAIT,
        )
    };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    };
    Ok(Envelope {
        length: length.min(buffer.len()),
        outgoing: u32::from(address.sll_pkttype) == u32::from(libc::PACKET_OUTGOING),
        at: timestamp(&control.0, message.msg_controllen).ok_or(Errno::BADMSG)?,
    })
}

/// The time in a control message of `SO_TIMESTAMPNS`: a `cmsghdr`, then a `timespec` (socket(7)).
fn timestamp(control: &[u8], length: usize) -> Option<Duration> {
    let message = control.get(..length)?;
    let number = |at: usize| Some(i32::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    let header = size_of::<libc::cmsghdr>();
    let (level, kind) = (number(header - 8)?, number(header - 4)?);
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    let time = message.get(header..)?;
    let seconds = i64::from_ne_bytes(*time.first_chunk()?);
    let nanos = i64::from_ne_bytes(*time.get(8..)?.first_chunk()?);
    let seconds = Duration::from_secs(seconds.try_into().ok()?);
    Some(seconds + Duration::from_nanos(nanos.try_into().ok()?))
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("socket structures are small")
}

fn checked(result: i32) -> Result<(), Errno> {
    if result == -1 {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control message as the kernel writes it.
    fn control(kind: i32, seconds: i64, nanos: i64) -> Vec<u8> {
        let header = size_of::<libc::cmsghdr>();
        let mut bytes = (header + 16).to_ne_bytes().to_vec();
        bytes.resize(header - 8, 0);
        bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(seconds.to_ne_bytes());
        bytes.extend(nanos.to_ne_bytes());
        bytes
    }

    #[test]
    fn the_kernels_time_is_read_and_nothing_else() {
        let bytes = control(libc::SCM_TIMESTAMPNS, 7, 5);
        let time = Duration::from_secs(7) + Duration::from_nanos(5);
        assert_eq!(timestamp(&bytes, bytes.len()), Some(time));
        for length in 0..bytes.len() {
            assert_eq!(timestamp(&bytes, length), None, "{length} bytes");
        }
        assert_eq!(timestamp(&bytes, 100), None, "longer than it is");
        let other = control(1, 7, 5);
        assert_eq!(timestamp(&other, other.len()), None);
        let negative = control(libc::SCM_TIMESTAMPNS, -1, 0);
        assert_eq!(timestamp(&negative, negative.len()), None);
    }
}
