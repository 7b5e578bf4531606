//! A network namespace of one's own, connections in it whose peer can be made deaf, and what is told
//! of them.

#![expect(unsafe_code, reason = "system calls that std does not offer")]
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use sockpulse_bpf::watch::{Happening, Kinds, Wanted, Watcher, What};
use sockpulse_core::{Cookie, Hz};

/// Long enough for whatever a test waits for.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs on a thread in a network namespace of its own with the loopback device up, or says that it
/// was skipped.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    // SAFETY: has no arguments.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let done = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            // SAFETY: changes the calling thread alone.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) });
            loopback_up();
            test();
        });
        run.join()
    });
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn hz() -> Hz {
    sockpulse_linux::hz().unwrap()
}

/// The programs, and what they tell of the calling thread's namespace.
pub(crate) struct Watch {
    watcher: Watcher,
    netns: u32,
    told: Vec<Happening>,
}

impl Watch {
    pub(crate) fn load(kinds: Kinds) -> Self {
        Self::with(&Wanted {
            kinds,
            among: None,
            cgroup: None,
            hz: hz(),
        })
    }

    pub(crate) fn with(wanted: &Wanted<'_>) -> Self {
        Self {
            watcher: Watcher::load(wanted).unwrap(),
            netns: netns(),
            told: Vec::new(),
        }
    }

    pub(crate) fn watcher(&mut self) -> &mut Watcher {
        &mut self.watcher
    }

    /// The next of the connection that this is an end of.
    pub(crate) fn next_of(&mut self, end: &impl AsRawFd) -> Happening {
        let cookie = cookie(end);
        self.next(|told| told.connection.id.cookie == cookie)
    }

    /// The next that is like this, of this namespace. Others before it are dropped.
    pub(crate) fn next(&mut self, is_it: impl Fn(&Happening) -> bool) -> Happening {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut told = std::mem::take(&mut self.told).into_iter();
            let found = told.find(|told| told.connection.id.netns.0 == self.netns && is_it(told));
            self.told = told.collect();
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain");
            self.watcher
                .next(Duration::from_millis(200), &mut self.told)
                .unwrap();
        }
    }

    /// All of this namespace until one that is like this.
    pub(crate) fn until(&mut self, is_it: impl Fn(&Happening) -> bool) -> Vec<Happening> {
        let mut all = Vec::new();
        loop {
            let next = self.next(|_| true);
            all.push(next);
            if is_it(&all[all.len() - 1]) {
                return all;
            }
        }
    }
}

pub(crate) fn is_death(told: &Happening) -> bool {
    matches!(told.what, What::Died(_))
}

/// The clock of [`Happening::at`].
pub(crate) fn now() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes the structure.
    check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) });
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// A connection: the listener, the end that connected, the end that was accepted.
pub(crate) struct Pair {
    pub(crate) listener: TcpListener,
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

pub(crate) fn pair() -> Pair {
    pair_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
}

pub(crate) fn pair_on(listener: TcpListener) -> Pair {
    let to: SocketAddr = listener.local_addr().unwrap();
    let client = TcpStream::connect(to).unwrap();
    let (server, _) = listener.accept().unwrap();
    Pair {
        listener,
        client,
        server,
    }
}

/// From now on whatever comes for this end is dropped, without an answer.
pub(crate) fn deafen(end: &impl AsRawFd) {
    // BPF_RET | BPF_K: let 0 bytes through.
    let mut nothing = [libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: nothing.as_mut_ptr(),
    };
    let len = libc::socklen_t::try_from(size_of_val(&program)).unwrap();
    // SAFETY: the program has as many instructions as it says, and outlives the call.
    check(unsafe {
        libc::setsockopt(
            end.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    });
}

/// Ends it.
pub(crate) fn hear(end: &impl AsRawFd) {
    set(end, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0);
}

pub(crate) fn keepalive(end: &impl AsRawFd, idle: i32, interval: i32, probes: i32) {
    set(end, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle);
    set(end, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, interval);
    set(end, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, probes);
    set(end, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
}

/// Closing it sends a RST.
pub(crate) fn abort(end: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let len = libc::socklen_t::try_from(size_of_val(&linger)).unwrap();
    // SAFETY: the length is that of the structure.
    check(unsafe {
        libc::setsockopt(
            end.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            len,
        )
    });
    drop(end);
}

pub(crate) fn try_set(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: &[u8],
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).unwrap();
    // SAFETY: the length is that of the value.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            len,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn set(socket: &impl AsRawFd, level: i32, option: i32, value: i32) {
    try_set(socket, level, option, &value.to_ne_bytes()).unwrap();
}

pub(crate) fn cookie(socket: &impl AsRawFd) -> Cookie {
    let mut cookie = 0_u64;
    let mut len = 8;
    // SAFETY: the length is that of the number.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    });
    Cookie(cookie)
}

pub(crate) fn inode(socket: &impl AsRawFd) -> u64 {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    std::fs::metadata(path).unwrap().ino()
}

/// The inode number of the calling thread's network namespace.
pub(crate) fn netns() -> u32 {
    let file = File::open("/proc/thread-self/ns/net").unwrap();
    u32::try_from(file.metadata().unwrap().ino()).unwrap()
}

/// The process's name, which is its first thread's.
pub(crate) fn own_name() -> Vec<u8> {
    let mut name = std::fs::read("/proc/self/comm").unwrap();
    name.pop();
    name
}

fn loopback_up() {
    // SAFETY: plain numbers.
    let fd =
        check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) });
    // SAFETY: the descriptor is new.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    request.ifr_name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap();
    // SAFETY: the request is of the type that this ioctl reads.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) });
}

pub(crate) fn check(answer: i32) -> i32 {
    assert!(answer >= 0, "{}", io::Error::last_os_error());
    answer
}
