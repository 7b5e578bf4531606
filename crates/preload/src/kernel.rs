//! The few system calls that are needed, made directly: nothing of libc is asked, so `errno` stays
//! what the program's own call made it, and no other preloaded library sees ours.

#![expect(unsafe_code, reason = "system calls without libc")]

use core::arch::asm;
use core::ffi::{c_int, c_long};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system calls of this architecture are not known here");

/// An option with a value of type int: level and name, as in socket(7) and tcp(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntOption {
    pub(crate) level: c_int,
    pub(crate) name: c_int,
}

const SOL_SOCKET: c_int = 1;
const IPPROTO_TCP: c_int = 6;
const IPPROTO_MPTCP: c_int = 262;

pub(crate) const SO_TYPE: IntOption = socket_option(3);
pub(crate) const SO_KEEPALIVE: IntOption = socket_option(9);
pub(crate) const SO_PROTOCOL: IntOption = socket_option(38);
pub(crate) const TCP_KEEPIDLE: IntOption = tcp_option(4);
pub(crate) const TCP_KEEPINTVL: IntOption = tcp_option(5);
pub(crate) const TCP_KEEPCNT: IntOption = tcp_option(6);
pub(crate) const TCP_USER_TIMEOUT: IntOption = tcp_option(18);

const SO_PEERNAME: usize = 28;

/// What the program itself may ask of its sockets and we look after.
pub(crate) const TIMINGS: [IntOption; 3] = [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT];

const fn socket_option(name: c_int) -> IntOption {
    let level = SOL_SOCKET;
    IntOption { level, name }
}

const fn tcp_option(name: c_int) -> IntOption {
    let level = IPPROTO_TCP;
    IntOption { level, name }
}

/// Whether the descriptor is a TCP socket. SCTP and raw sockets that carry TCP are not.
pub(crate) fn is_tcp(fd: c_int) -> bool {
    const SOCK_STREAM: c_int = 1;
    speaks_tcp(fd) && read(fd, SO_TYPE) == Some(SOCK_STREAM)
}

/// As [`is_tcp`], for what is known to be a stream. Sockets of Multipath TCP pass their options on to
/// the TCP sockets below them and to what they accept.
pub(crate) fn speaks_tcp(fd: c_int) -> bool {
    matches!(read(fd, SO_PROTOCOL), Some(IPPROTO_TCP | IPPROTO_MPTCP))
}

/// `None` for what is no socket or does not know the option.
pub(crate) fn read(fd: c_int, option: IntOption) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length: u32 = 4;
    let arguments = [
        word(fd),
        word(option.level),
        word(option.name),
        (&raw mut value).expose_provenance(),
        (&raw mut length).expose_provenance(),
    ];
    // SAFETY: getsockopt(2) writes at most `length` bytes to `value`, and the length; both outlive
    // the call.
    let result = unsafe { call(number::GETSOCKOPT, arguments) };
    (result == 0 && length == 4).then_some(value)
}

/// Whether the kernel took it.
pub(crate) fn set(fd: c_int, option: IntOption, value: c_int) -> bool {
    let arguments = [
        word(fd),
        word(option.level),
        word(option.name),
        (&raw const value).expose_provenance(),
        4,
    ];
    // SAFETY: setsockopt(2) reads four bytes of `value`, which outlives the call.
    let result = unsafe { call(number::SETSOCKOPT, arguments) };
    result == 0
}

/// Both ends, also while the connection is being made, when getpeername(2) does not tell the far one
/// (`inet_getname()`, net/ipv4/af_inet.c). They are read from the kernel and not from the program's
/// argument, which may be a bad pointer: then connect(2) fails, and nothing else must.
pub(crate) fn ends(fd: c_int) -> Option<(SocketAddr, SocketAddr)> {
    let mut address = [0; 28];
    let mut length = 28_u32;
    let arguments = [
        word(fd),
        (&raw mut address).expose_provenance(),
        (&raw mut length).expose_provenance(),
        0,
        0,
    ];
    // SAFETY: getsockname(2) writes at most `length` bytes to `address`, and the length; both
    // outlive the call.
    let result = unsafe { call(number::GETSOCKNAME, arguments) };
    if result != 0 {
        return None;
    }
    // The kernel refuses a length beyond that of the family (`sk_getsockopt()`, net/core/sock.c).
    Some((end(&address)?, peer_name(fd, length)?))
}

/// Whether it has a far end already, reached or not.
pub(crate) fn is_under_way(fd: c_int) -> bool {
    // As long as the shorter kind of address; of another one that much is written.
    peer_name(fd, 16).is_some()
}

fn peer_name(fd: c_int, mut length: u32) -> Option<SocketAddr> {
    let mut address = [0; 28];
    let arguments = [
        word(fd),
        word(SOL_SOCKET),
        SO_PEERNAME,
        (&raw mut address).expose_provenance(),
        (&raw mut length).expose_provenance(),
    ];
    if length > 28 {
        return None;
    }
    // SAFETY: getsockopt(2) writes at most `length` bytes to `address`, and the length; both outlive
    // the call.
    let result = unsafe { call(number::GETSOCKOPT, arguments) };
    if result == 0 { end(&address) } else { None }
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
fn end(address: &[u8; 28]) -> Option<SocketAddr> {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    let [f0, f1, p0, p1, rest @ ..] = address;
    let (v4, _) = rest.split_first_chunk::<4>()?;
    let (_, v6) = rest.split_first_chunk::<4>()?;
    let addr: IpAddr = match u16::from_ne_bytes([*f0, *f1]) {
        AF_INET => Ipv4Addr::from(*v4).into(),
        AF_INET6 => Ipv6Addr::from(*v6.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(addr, u16::from_be_bytes([*p0, *p1])))
}

/// An int argument as the kernel takes it: it reads the lower half only.
pub(crate) const fn word(argument: c_int) -> usize {
    argument.cast_unsigned() as usize
}

pub(crate) fn process_id() -> c_long {
    // SAFETY: getpid(2) takes nothing.
    unsafe { call(number::GETPID, [0; 5]) }
}

/// Writes to standard error what there is room for.
pub(crate) fn complain(text: &[u8]) {
    let arguments = [2, text.as_ptr().expose_provenance(), text.len(), 0, 0];
    // SAFETY: write(2) reads the bytes of `text`, which outlive the call.
    let _written = unsafe { call(number::WRITE, arguments) };
}

/// A system call; the result is negative for an error, as the kernel gives it.
///
/// # Safety
/// The arguments must be right for that call.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call(number: c_long, [a, b, c, d, e]: [usize; 5]) -> c_long {
    let result;
    // SAFETY: as the caller promises; rcx and r11 are what the instruction itself changes, and the
    // kernel may read and write memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call; the result is negative for an error, as the kernel gives it.
///
/// # Safety
/// The arguments must be right for that call.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn call(number: c_long, [a, b, c, d, e]: [usize; 5]) -> c_long {
    let result;
    // SAFETY: as the caller promises; the kernel may read and write memory.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}

/// The numbers of `arch/x86/entry/syscalls/syscall_64.tbl`.
#[cfg(target_arch = "x86_64")]
pub(crate) mod number {
    use core::ffi::c_long;
    pub(crate) const WRITE: c_long = 1;
    pub(crate) const GETPID: c_long = 39;
    pub(crate) const SOCKET: c_long = 41;
    pub(crate) const CONNECT: c_long = 42;
    pub(crate) const ACCEPT: c_long = 43;
    pub(crate) const LISTEN: c_long = 50;
    pub(crate) const GETSOCKNAME: c_long = 51;
    pub(crate) const SETSOCKOPT: c_long = 54;
    pub(crate) const GETSOCKOPT: c_long = 55;
    pub(crate) const ACCEPT4: c_long = 288;
}

/// The numbers of `include/uapi/asm-generic/unistd.h`.
#[cfg(target_arch = "aarch64")]
pub(crate) mod number {
    use core::ffi::c_long;
    pub(crate) const WRITE: c_long = 64;
    pub(crate) const GETPID: c_long = 172;
    pub(crate) const SOCKET: c_long = 198;
    pub(crate) const LISTEN: c_long = 201;
    pub(crate) const ACCEPT: c_long = 202;
    pub(crate) const CONNECT: c_long = 203;
    pub(crate) const GETSOCKNAME: c_long = 204;
    pub(crate) const SETSOCKOPT: c_long = 208;
    pub(crate) const GETSOCKOPT: c_long = 209;
    pub(crate) const ACCEPT4: c_long = 242;
}
