//! The two bpf(2) commands that turn a loaded program into something to read from.

#![expect(unsafe_code, reason = "libbpf's C functions")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_LINK_CREATE` for an iterator program; with `pid` it walks only that process's tasks (Linux
/// 6.1; older kernels answer `E2BIG`). The process is looked up in the caller's pid namespace.
pub(crate) fn link_iterator(program: BorrowedFd<'_>, pid: Option<u32>) -> io::Result<OwnedFd> {
    let mut info = libbpf_sys::bpf_iter_link_info::default();
    info.task.pid = pid.unwrap_or(0);
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    if pid.is_some() {
        options.iter_info = &raw mut info;
        options.iter_info_len =
            u32::try_from(size_of_val(&info)).expect("the structure is a few bytes long");
    }
    // SAFETY: the options and what they point to outlive the call, and `sz` is their size.
    let answer = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_ITER,
            &raw const options,
        )
    };
    owned(answer)
}

/// `BPF_ITER_CREATE`: a descriptor from which one walk is read. The TCP iterator walks the network
/// namespace in which the calling thread is now.
pub(crate) fn create_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    // SAFETY: takes a descriptor, which the borrow keeps open, and nothing else.
    let answer = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
    owned(answer).map(File::from)
}

/// libbpf answers with a new descriptor or a negative errno.
fn owned(answer: i32) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer));
    }
    // SAFETY: the descriptor was made for us just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}
