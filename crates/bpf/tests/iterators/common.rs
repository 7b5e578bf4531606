//! A network namespace of one's own, sockets of every kind, and what their owner is told of them.

#![expect(unsafe_code, reason = "system calls that std does not offer")]
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use sockpulse_bpf::risk::KernelVersion;
use sockpulse_bpf::{Error, IterTcp, Reader, Record, RiskAccepted, TaskFile, records};
use sockpulse_core::{Connection, Cookie, Hz};

/// What the tests walk is their own namespace, where no connection request arrives meanwhile.
pub(crate) fn accepted() -> RiskAccepted {
    RiskAccepted::named("CVE-2026-74714").unwrap()
}

/// Runs on a thread in a network namespace of its own with the loopback device up, or says that it
/// was skipped.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    if KernelVersion::running().is_some_and(|kernel| kernel < KernelVersion::new(5, 12, 0)) {
        eprintln!("SKIPPED: needs Linux 5.12");
        return;
    }
    if let Err(error @ Error::NotPermitted { .. }) = TaskFile::load() {
        eprintln!("SKIPPED: needs root (or CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN): {error}");
        return;
    }
    on_thread(|| {
        unshare(libc::CLONE_NEWNET);
        loopback(Loopback::Up);
        test();
    });
}

/// Runs on a thread that may be changed for good.
pub(crate) fn on_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(test).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

pub(crate) fn unshare(flags: i32) {
    // SAFETY: changes the calling thread alone.
    check(unsafe { libc::unshare(flags) });
}

/// What the loopback device is to be.
pub(crate) enum Loopback {
    Up,
    Down,
}

pub(crate) fn loopback(state: Loopback) {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
    // SAFETY: all zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    request.ifr_name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
    request.ifr_ifru.ifru_flags = match state {
        Loopback::Up => i16::try_from(libc::IFF_UP).unwrap(),
        Loopback::Down => 0,
    };
    // SAFETY: the request is of the type that this ioctl reads.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) });
}

pub(crate) fn check(answer: i32) -> i32 {
    assert!(answer >= 0, "{}", io::Error::last_os_error());
    answer
}

pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> OwnedFd {
    // SAFETY: plain numbers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) });
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn get<T: Copy>(socket: &impl AsRawFd, level: i32, option: i32) -> T {
    // SAFETY: only integers and C structures of integers are read so.
    let mut value: T = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut len = libc::socklen_t::try_from(size_of::<T>()).unwrap();
    // SAFETY: the length is that of the value.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    });
    value
}

pub(crate) fn set(socket: &impl AsRawFd, level: i32, option: i32, value: i32) {
    // SAFETY: the length is that of the value.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            4,
        )
    });
}

pub(crate) fn keepalive(socket: &impl AsRawFd, idle: i32, interval: i32, probes: i32) {
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle);
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, interval);
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, probes);
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
}

pub(crate) fn cookie(socket: &impl AsRawFd) -> Cookie {
    Cookie(get(socket, libc::SOL_SOCKET, libc::SO_COOKIE))
}

pub(crate) fn inode(socket: &impl AsRawFd) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .unwrap()
        .ino()
}

/// The inode number of the calling thread's network namespace.
pub(crate) fn netns() -> u32 {
    let file = File::open("/proc/thread-self/ns/net").unwrap();
    u32::try_from(file.metadata().unwrap().ino()).unwrap()
}

/// A connection: the listener, the end that connected, the end that was accepted.
pub(crate) struct Pair {
    pub(crate) listener: TcpListener,
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

pub(crate) fn pair(listen: &str, connect: &str) -> Pair {
    let listener = TcpListener::bind(listen).unwrap();
    let port = listener.local_addr().unwrap().port();
    let to: SocketAddr = format!("{connect}:{port}").parse().unwrap();
    let client = TcpStream::connect(to).unwrap();
    let (server, _) = listener.accept().unwrap();
    Pair {
        listener,
        client,
        server,
    }
}

pub(crate) fn hz() -> Hz {
    sockpulse_linux::hz().unwrap()
}

pub(crate) fn collect(mut reader: Reader) -> Vec<Record> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        let len = reader.read(&mut buffer).unwrap();
        if len == 0 {
            return all;
        }
        all.extend_from_slice(records(&buffer[..len]));
    }
}

/// This process's sockets in the calling thread's namespace.
pub(crate) fn by_task_file() -> Vec<Record> {
    let task_file = TaskFile::load().unwrap();
    let mut records = collect(task_file.open(Some(std::process::id())).unwrap());
    let here = netns();
    records.retain(|record| record.netns().0 == here);
    records
}

/// All sockets of the calling thread's namespace.
pub(crate) fn by_iter_tcp() -> Vec<Record> {
    collect(IterTcp::load(accepted()).unwrap().open().unwrap())
}

/// The one record of a socket.
pub(crate) fn find(records: &[Record], socket: &impl AsRawFd) -> Record {
    let cookie = cookie(socket);
    let found: Vec<_> = records.iter().filter(|r| r.cookie() == cookie).collect();
    assert_eq!(found.len(), 1, "{cookie:?}");
    *found[0]
}

/// Reads until the condition holds.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn connection(record: &Record) -> Connection {
    record.connection(hz()).unwrap()
}

pub(crate) fn ioctl(socket: &impl AsRawFd, request: libc::c_ulong, value: &mut i32) {
    // SAFETY: the requests used answer with an int.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request, value) });
}

pub(crate) fn uid() -> u32 {
    // SAFETY: has no arguments.
    unsafe { libc::getuid() }
}

const fn on_loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        sin_zero: [0; 8],
    }
}

const ADDRESS_LEN: libc::socklen_t = 16;

/// Listens on a loopback port that the kernel chooses.
pub(crate) fn bind_and_listen(socket: &impl AsRawFd, backlog: i32) -> SocketAddr {
    let mut address = on_loopback(0);
    // SAFETY: the length is that of the address.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) });
    // SAFETY: plain numbers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) });
    let mut len = ADDRESS_LEN;
    // SAFETY: the length is that of the address.
    check(unsafe {
        libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len)
    });
    SocketAddr::from(([127, 0, 0, 1], u16::from_be(address.sin_port)))
}

/// Begins to connect; a socket that does not block may be left on its way.
pub(crate) fn connect(socket: &impl AsRawFd, to: SocketAddr) {
    let address = on_loopback(to.port());
    // SAFETY: the length is that of the address.
    let answer =
        unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) };
    let error = io::Error::last_os_error();
    assert!(
        answer == 0 || error.raw_os_error() == Some(libc::EINPROGRESS),
        "{error}"
    );
}

/// As many connections as the process may have descriptors for.
pub(crate) fn room_for(wanted: usize) -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is that of getrlimit(2).
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) });
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the structure is that of setrlimit(2).
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) });
    let room = usize::try_from(limit.rlim_max).unwrap_or(usize::MAX);
    wanted.min(room.saturating_sub(100) / 2)
}
