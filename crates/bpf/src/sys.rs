//! Calls of libbpf that libbpf-rs has not, or answers without the errno: it is the errno that tells
//! a caller without rights (`EPERM`) from a program that does not fit the kernel (`EACCES`).

#![expect(unsafe_code, reason = "libbpf's C functions")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::{AsRawLibbpf, OpenMap, OpenObject, OpenProgram};

use crate::skeleton::count::types::bss;

/// `bpf_object__load()`.
pub(crate) fn load(object: &mut OpenObject) -> io::Result<()> {
    // SAFETY: the object is open, and borrowed exclusively while it is changed.
    let answer = unsafe { libbpf_sys::bpf_object__load(object.as_libbpf_object().as_ptr()) };
    answered(answer).map(drop)
}

/// A descriptor of a loaded program, beyond the life of its object.
pub(crate) fn program(program: &OpenProgram<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the program belongs to an object that lives as long as the borrow.
    let fd = unsafe { libbpf_sys::bpf_program__fd(program.as_libbpf_object().as_ptr()) };
    duplicate(fd)
}

/// A descriptor of a loaded map, beyond the life of its object.
pub(crate) fn map(map: &OpenMap<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the map belongs to an object that lives as long as the borrow.
    let fd = unsafe { libbpf_sys::bpf_map__fd(map.as_libbpf_object().as_ptr()) };
    duplicate(fd)
}

/// The variable of count.bpf.c, read from the map that [`map`] gave for it.
pub(crate) fn counter(map: BorrowedFd<'_>) -> io::Result<u64> {
    const { assert!(size_of::<bss>() == size_of::<u64>()) };
    let (key, mut value) = (0u32, 0u64);
    // SAFETY: arrays have keys of four bytes, and this one's values are one number.
    let answer = unsafe {
        libbpf_sys::bpf_map_lookup_elem(
            map.as_raw_fd(),
            (&raw const key).cast::<c_void>(),
            (&raw mut value).cast::<c_void>(),
        )
    };
    answered(answer).map(|_| value)
}

/// `BPF_MAP_UPDATE_BATCH` of a map whose keys are numbers, and whose values have the size that comes
/// out. Linux 5.6.
pub(crate) fn fill(map: BorrowedFd<'_>, keys: &[u64], values: &[u8]) -> io::Result<()> {
    check_sizes(map, values.len() / keys.len().max(1))?;
    assert!(values.len().is_multiple_of(keys.len().max(1)));
    let mut count = u32::try_from(keys.len()).map_err(io::Error::other)?;
    // SAFETY: there are as many keys and values as said, of the sizes that the map has.
    let answer = unsafe {
        libbpf_sys::bpf_map_update_batch(
            map.as_raw_fd(),
            keys.as_ptr().cast::<c_void>(),
            values.as_ptr().cast::<c_void>(),
            &raw mut count,
            std::ptr::null(),
        )
    };
    answered(answer).map(drop)
}

/// The value of a number in such a map; whether there is one.
pub(crate) fn find(map: BorrowedFd<'_>, key: u64, value: &mut [u8]) -> io::Result<bool> {
    check_sizes(map, value.len())?;
    // SAFETY: the key and the value have the sizes that the map has.
    let answer = unsafe {
        libbpf_sys::bpf_map_lookup_elem(
            map.as_raw_fd(),
            (&raw const key).cast::<c_void>(),
            value.as_mut_ptr().cast::<c_void>(),
        )
    };
    found(answer)
}

/// Takes a number out of such a map, if it is there.
pub(crate) fn delete(map: BorrowedFd<'_>, key: u64) -> io::Result<()> {
    // SAFETY: the caller's map has numbers of this size for keys.
    let answer = unsafe {
        libbpf_sys::bpf_map_delete_elem(map.as_raw_fd(), (&raw const key).cast::<c_void>())
    };
    found(answer).map(drop)
}

fn found(answer: i32) -> io::Result<bool> {
    match answered(answer) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kernel reads as many bytes as the map's keys and values have.
fn check_sizes(map: BorrowedFd<'_>, value: usize) -> io::Result<()> {
    let mut info = libbpf_sys::bpf_map_info::default();
    let mut len = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    // SAFETY: the structure is as long as said, and outlives the call.
    let answer =
        unsafe { libbpf_sys::bpf_map_get_info_by_fd(map.as_raw_fd(), &raw mut info, &raw mut len) };
    answered(answer)?;
    let is_ours =
        info.key_size == 8 && usize::try_from(info.value_size).is_ok_and(|own| own == value);
    is_ours
        .then_some(())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// How often the kernel passed a program by, since it was at work on that processor already.
pub(crate) fn misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    // SAFETY: the structure is as long as said, and outlives the call.
    let answer = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut len)
    };
    answered(answer).map(|_| info.recursion_misses)
}

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

/// `BPF_LINK_CREATE` for a program on a tracepoint; it is detached when the descriptor is closed.
pub(crate) fn link_tracepoint(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, and no options.
    owned(unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_RAW_TP,
            std::ptr::null(),
        )
    })
}

/// How many programs there are on tracepoints, whoever attached them.
pub(crate) fn on_tracepoints() -> io::Result<usize> {
    let (mut id, mut count) = (0, 0);
    loop {
        // SAFETY: the number that is written outlives the call.
        let answer = unsafe { libbpf_sys::bpf_link_get_next_id(id, &raw mut id) };
        if !found(answer)? {
            return Ok(count);
        }
        // SAFETY: takes a number.
        let answer = unsafe { libbpf_sys::bpf_link_get_fd_by_id(id) };
        if !found(answer)? {
            continue;
        }
        let link = owned(answer)?;
        let mut info = libbpf_sys::bpf_link_info::default();
        let mut len = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
        // SAFETY: the structure is as long as said, and outlives the call.
        let answer = unsafe {
            libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut len)
        };
        answered(answer)?;
        count += usize::from(info.type_ == libbpf_sys::BPF_LINK_TYPE_RAW_TRACEPOINT);
    }
}

/// `BPF_ITER_CREATE`: a descriptor from which one walk is read. The TCP iterator walks the network
/// namespace in which the calling thread is now.
pub(crate) fn create_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    // SAFETY: takes a descriptor, which the borrow keeps open, and nothing else.
    let answer = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
    owned(answer).map(File::from)
}

/// `BPF_PROG_TEST_RUN` of a program of the kind `tc`, with a packet of the calling thread's network
/// namespace that bears the mark. It seems to be at this device; 0: at the loopback device. The
/// program is to answer 0.
pub(crate) fn run_on_packet(program: BorrowedFd<'_>, mark: u32, ifindex: u32) -> io::Result<()> {
    // The beginning of `struct __sk_buff`; what is left out counts as zero.
    let mut context = [0u32; 11];
    context[2] = mark;
    context[10] = ifindex;
    // An Ethernet header, and a little behind it: the kernel wants a packet.
    let packet = [0u8; 64];
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    options.data_in = packet.as_ptr().cast::<c_void>();
    options.data_size_in = u32::try_from(size_of_val(&packet)).map_err(io::Error::other)?;
    options.ctx_in = context.as_ptr().cast::<c_void>();
    options.ctx_size_in = u32::try_from(size_of_val(&context)).map_err(io::Error::other)?;
    // SAFETY: the options and the bytes that they point to outlive the call, with their sizes.
    let answer =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    answered(answer)?;
    match options.retval {
        0 => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// Loads the smallest program for which the kernel wants what the iterators need: `CAP_BPF`, and
/// `CAP_PERFMON` since it is of a tracing kind.
pub(crate) fn try_bpf() -> io::Result<()> {
    let instruction = |code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    };
    // r0 = 0; exit
    let program = [instruction(0xb7), instruction(0x95)];
    // SAFETY: the strings end in NUL, the instructions are as many as said, and there are no options.
    let answer = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT,
            c"probe".as_ptr(),
            c"Dual BSD/GPL".as_ptr(),
            program.as_ptr(),
            program.len() as libbpf_sys::size_t,
            std::ptr::null_mut(),
        )
    };
    owned(answer).map(drop)
}

/// libbpf answers with a negative errno when it fails.
fn answered(answer: i32) -> io::Result<i32> {
    if answer < 0 {
        Err(io::Error::from_raw_os_error(answer.wrapping_neg()))
    } else {
        Ok(answer)
    }
}

/// The answer as a new descriptor.
fn owned(answer: i32) -> io::Result<OwnedFd> {
    let fd = answered(answer)?;
    // SAFETY: the descriptor was made for us just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A duplicate of a descriptor that libbpf keeps.
fn duplicate(answer: i32) -> io::Result<OwnedFd> {
    let fd = answered(answer)?;
    // SAFETY: the object that it belongs to is borrowed by the caller, so it stays open for this.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fd.try_clone_to_owned()
}
