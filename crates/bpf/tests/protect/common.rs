//! A network namespace, a cgroup and a bpffs of one's own, and sockets in them.

#![expect(unsafe_code, reason = "system calls that std does not offer")]
use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sockpulse_bpf::protect::{self, Accepted, Installed, Wanted};
use sockpulse_core::protect::{Asked, Mode, Rule, Table};
use sockpulse_core::{Hz, KeepCnt, KeepIdle, KeepIntvl, Selector, UserTimeout, UserTimeoutChoice};

/// The whole process moves into the cgroup.
static ALONE: Mutex<()> = Mutex::new(());

/// What a test has for itself.
pub(crate) struct World {
    /// The folder for pins, which is not there yet.
    pub(crate) pins: PathBuf,
    /// The cgroup that the process is in.
    pub(crate) cgroup: PathBuf,
    /// The one that it came from.
    before: PathBuf,
    bpffs: PathBuf,
}

/// Runs a test in a world of its own, or says that it was skipped.
pub(crate) fn in_world(test: impl FnOnce(&World) + Send) {
    // SAFETY: has no arguments.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let Some(cgroups) = cgroups() else {
        eprintln!("SKIPPED: needs a cgroup v2 hierarchy");
        return;
    };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let world = World::new(&cgroups);
            test(&world);
        });
        run.join()
    });
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// Where the cgroup v2 hierarchy is mounted.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(line.split(' ').nth(4)?.into())
}

impl World {
    /// Changes the calling thread for good, and the process's cgroup until it is dropped.
    fn new(cgroups: &Path) -> Self {
        // SAFETY: changes the calling thread alone.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) });
        loopback_up();
        mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE);
        let name = format!("sockpulse-test-{}", std::process::id());
        let bpffs = std::env::temp_dir().join(&name);
        fs::create_dir(&bpffs).unwrap();
        mount("bpf", &bpffs, "bpf", 0);
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let world = Self {
            pins: bpffs.join("sockpulse"),
            cgroup: cgroups.join(&name),
            before: cgroups.join(own.unwrap()),
            bpffs,
        };
        fs::create_dir(&world.cgroup).unwrap();
        enter(&world.cgroup);
        world
    }

    pub(crate) fn install(&self, rules: &[Rule]) -> Installed {
        self.try_install(rules, Accepted::Inherit).unwrap()
    }

    pub(crate) fn install_each(&self, rules: &[Rule]) -> Installed {
        self.try_install(rules, Accepted::Each).unwrap()
    }

    pub(crate) fn try_install(
        &self,
        rules: &[Rule],
        accepted: Accepted,
    ) -> sockpulse_bpf::Result<Installed> {
        let table = Table::compile(rules).unwrap();
        let texts: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        let wanted = Wanted {
            table: &table,
            texts: &texts,
            accepted,
            hz: hz(),
        };
        protect::install(&self.pins, &self.cgroup, &wanted)
    }

    pub(crate) fn load(&self) -> Option<Installed> {
        protect::load(&self.pins).unwrap()
    }

    /// A cgroup below the test's own, with the process in it until the call returns.
    pub(crate) fn inside<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
        let path = self.cgroup.join(name);
        fs::create_dir_all(&path).unwrap();
        // A cgroup with processes cannot have children that have some, unless it is the root of
        // nothing controlled, as here.
        enter(&path);
        let answer = run();
        enter(&self.cgroup);
        let mut folder = path.as_path();
        while folder != self.cgroup {
            remove_cgroup(folder);
            folder = folder.parent().unwrap();
        }
        answer
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = protect::remove(&self.pins);
        enter(&self.before);
        remove_cgroup(&self.cgroup);
        let path = CString::new(self.bpffs.to_str().unwrap()).unwrap();
        // SAFETY: the path ends in NUL.
        check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) });
        fs::remove_dir(&self.bpffs).unwrap();
    }
}

fn enter(cgroup: &Path) {
    fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string()).unwrap();
}

/// Processes that were killed leave it a little later.
fn remove_cgroup(path: &Path) {
    wait_for("the cgroup to be empty", || fs::remove_dir(path).ok());
}

fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong) {
    let text = |text: &str| CString::new(text).unwrap();
    let (source, kind) = (text(source), text(kind));
    let target = text(target.to_str().unwrap());
    // SAFETY: the texts end in NUL, and there are no options.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    });
}

fn loopback_up() {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
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

pub(crate) fn hz() -> Hz {
    sockpulse_linux::hz().unwrap()
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

/// Asks for idle, interval, probes and an automatic user timeout, of every connection.
pub(crate) fn rule(mode: Mode, idle: u64, interval: u64, probes: u64) -> Rule {
    Rule {
        name: format!("{} {idle} {interval} {probes}", mode.name()),
        selector: Selector::default(),
        asked: Asked {
            idle: Some(KeepIdle::new(idle).unwrap()),
            interval: Some(KeepIntvl::new(interval).unwrap()),
            probes: Some(KeepCnt::new(probes).unwrap()),
            user_timeout: None,
        },
        mode,
        include_local: true,
    }
}

pub(crate) fn with_user_timeout(mut rule: Rule, timeout: Option<u64>) -> Rule {
    rule.asked.user_timeout = Some(match timeout {
        None => UserTimeoutChoice::Auto,
        Some(ms) => UserTimeoutChoice::Fixed(UserTimeout::new(ms).unwrap()),
    });
    rule
}

pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> OwnedFd {
    // SAFETY: plain numbers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) });
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn get(socket: &impl AsRawFd, level: i32, option: i32) -> i32 {
    let mut value = 0_i32;
    let mut len = 4;
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

pub(crate) fn set_bytes(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the length is that of the value.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            libc::socklen_t::try_from(value.len()).unwrap(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn try_set(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: i32,
) -> io::Result<()> {
    set_bytes(socket, level, option, &value.to_ne_bytes())
}

/// Sets an option of TCP, or SO_KEEPALIVE.
pub(crate) fn set(socket: &impl AsRawFd, option: i32, value: i32) {
    try_set(socket, level(option), option, value).unwrap();
}

fn level(option: i32) -> i32 {
    if option == libc::SO_KEEPALIVE {
        libc::SOL_SOCKET
    } else {
        libc::IPPROTO_TCP
    }
}

/// What a socket has: keepalive, idle, interval, probes, user timeout.
pub(crate) type Has = (bool, i32, i32, i32, i32);

/// What a socket has that nobody touched.
pub(crate) const UNTOUCHED: Has = (false, 7200, 75, 9, 0);

pub(crate) fn has(socket: &impl AsRawFd) -> Has {
    let tcp = |option| get(socket, libc::IPPROTO_TCP, option);
    (
        get(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE) != 0,
        tcp(libc::TCP_KEEPIDLE),
        tcp(libc::TCP_KEEPINTVL),
        tcp(libc::TCP_KEEPCNT),
        tcp(libc::TCP_USER_TIMEOUT),
    )
}

/// A connection: the listener, the end that connected, the end that was accepted.
pub(crate) struct Pair {
    pub(crate) listener: TcpListener,
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

pub(crate) fn pair(listen: &str, connect: &str) -> Pair {
    pair_on(TcpListener::bind(listen).unwrap(), connect)
}

pub(crate) fn pair_on(listener: TcpListener, connect: &str) -> Pair {
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

/// A socket that was bound to an address and connected.
pub(crate) fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    let from: IpAddr = from.parse().unwrap();
    let (from, to) = (address(SocketAddr::new(from, 0)), address(to));
    // SAFETY: the length is that of the address.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const from).cast(), ADDRESS_LEN) });
    // SAFETY: the length is that of the address.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), ADDRESS_LEN) });
    socket.into()
}

/// Tries to connect to where no route leads: the programs have seen it by then.
pub(crate) fn connect_away(family: i32) -> OwnedFd {
    let socket = socket(family, libc::SOCK_STREAM, 0);
    try_away(&socket, family);
    socket
}

pub(crate) fn try_away(socket: &OwnedFd, family: i32) {
    let answer = if family == libc::AF_INET {
        let to = address("192.0.2.1:9".parse().unwrap());
        // SAFETY: the length is that of the address.
        unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), ADDRESS_LEN) }
    } else {
        // SAFETY: all zeros are a valid address.
        let mut to: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
        to.sin6_family = 10;
        to.sin6_port = 9_u16.to_be();
        to.sin6_addr.s6_addr = "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        // SAFETY: the length is that of the address.
        unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), 28) }
    };
    let error = io::Error::last_os_error();
    assert!(answer < 0, "there is no route");
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH), "{error}");
}

const ADDRESS_LEN: libc::socklen_t = 16;

fn address(of: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(of) = of else {
        panic!("IPv4 only");
    };
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: of.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(of.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// listen(2), bound or not.
pub(crate) fn listen(socket: &OwnedFd) {
    // SAFETY: plain numbers.
    check(unsafe { libc::listen(socket.as_raw_fd(), 16) });
}
