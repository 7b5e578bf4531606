//! System calls that have no safe wrapper.

#![expect(
    unsafe_code,
    reason = "TCP_INFO, TCP_LINGER2, wait4, seccomp and a thread's own namespace have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a new network namespace.
pub(crate) fn unshare_network() {
    // SAFETY: the flag concerns network namespaces alone; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("unshare(CLONE_NEWNET)");
}

/// `TCP_INFO`, tcp(7).
pub(crate) fn tcp_info(socket: impl AsFd) -> libc::tcp_info {
    // SAFETY: tcp_info holds plain numbers, for which zeroes are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap();
    let fd = socket.as_fd().as_raw_fd();
    let to = (&raw mut info).cast();
    // SAFETY: `to` points to `len` bytes that live across the call.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut len) };
    assert_eq!(result, 0, "TCP_INFO: {}", io::Error::last_os_error());
    info
}

/// `TCP_LINGER2`: how long an orphan stays in FIN-WAIT-2, seconds.
pub(crate) fn set_linger2(socket: impl AsFd, seconds: i32) {
    let fd = socket.as_fd().as_raw_fd();
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap();
    let from = (&raw const seconds).cast();
    // SAFETY: `from` points to `len` bytes that live across the call.
    let result = unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_LINGER2, from, len) };
    assert_eq!(result, 0, "TCP_LINGER2: {}", io::Error::last_os_error());
}

/// Waits for the end of a child and tells its largest resident set, KiB.
pub(crate) fn reap(child: &Child) -> (ExitStatus, u64) {
    let pid = rustix::process::Pid::from_child(child)
        .as_raw_nonzero()
        .get();
    let mut status = 0;
    // SAFETY: rusage holds plain numbers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that live across the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert_eq!(reaped, pid, "wait4: {}", io::Error::last_os_error());
    let peak = u64::try_from(usage.ru_maxrss).unwrap();
    (ExitStatus::from_raw(status), peak)
}

/// Makes bpf(2) fail with `ENOSYS` in this process and those it starts, as in a kernel without it.
pub(crate) fn forbid_bpf() {
    let load = |k| libc::sock_filter {
        code: 0x20, // BPF_LD | BPF_W | BPF_ABS
        jt: 0,
        jf: 0,
        k,
    };
    let answer = |k| libc::sock_filter {
        code: 0x06, // BPF_RET | BPF_K
        jt: 0,
        jf: 0,
        k,
    };
    let unless_bpf_skip_one = libc::sock_filter {
        code: 0x15, // BPF_JMP | BPF_JEQ | BPF_K
        jt: 0,
        jf: 1,
        k: u32::try_from(libc::SYS_bpf).unwrap(),
    };
    let enosys = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let mut filter = [
        load(0), // offsetof(struct seccomp_data, nr)
        unless_bpf_skip_one,
        answer(enosys),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true).expect("PR_SET_NO_NEW_PRIVS");
    // SAFETY: the program points to a filter that lives across the call.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(result, 0, "PR_SET_SECCOMP: {}", io::Error::last_os_error());
}
