//! Maps, pins and links by file descriptor, through libbpf's system call wrappers.

#![expect(unsafe_code, reason = "libbpf's C functions")]

use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The one key of an array with one entry.
const ONLY: u32 = 0;

/// `BPF_MAP_CREATE` for an array with one entry.
pub(super) fn create_array(name: &'static std::ffi::CStr, value: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name ends in NUL, and there are no options.
    owned(unsafe {
        libbpf_sys::bpf_map_create(
            libbpf_sys::BPF_MAP_TYPE_ARRAY,
            name.as_ptr(),
            4,
            size(value),
            1,
            std::ptr::null(),
        )
    })
}

/// Writes the one value of an array.
pub(crate) fn write(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    check_size(map, value.len())?;
    write_at(map, ONLY, value)
}

/// Puts a map into an array of maps. Waits until no program uses the one that was there.
pub(super) fn write_map(maps: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    write(maps, &map.as_raw_fd().to_ne_bytes())
}

/// The id of the map in an array of maps, opened.
pub(super) fn read_map(maps: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut id = [0; 4];
    read(maps, &mut id)?;
    // SAFETY: takes a number.
    owned(unsafe { libbpf_sys::bpf_map_get_fd_by_id(u32::from_ne_bytes(id)) })
}

/// Reads the one value of an array.
pub(crate) fn read(map: BorrowedFd<'_>, value: &mut [u8]) -> io::Result<()> {
    check_size(map, value.len())?;
    read_at(map, ONLY, value)
}

/// Reads a value of an array of each processor: as many values, each of a multiple of 8 bytes.
pub(super) fn read_each(map: BorrowedFd<'_>, key: u32, value: usize) -> io::Result<Vec<u8>> {
    check_size(map, value)?;
    let mut values = vec![0; value.next_multiple_of(8) * processors()?];
    read_at(map, key, &mut values)?;
    Ok(values)
}

/// Sets a value of an array of each processor to zero.
pub(super) fn clear_each(map: BorrowedFd<'_>, key: u32, value: usize) -> io::Result<()> {
    check_size(map, value)?;
    write_at(
        map,
        key,
        &vec![0; value.next_multiple_of(8) * processors()?],
    )
}

/// `BPF_OBJ_PIN`.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in NUL.
    answered(unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) }).map(drop)
}

/// `BPF_OBJ_GET`.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in NUL.
    owned(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })
}

/// `BPF_LINK_CREATE` on a cgroup.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    kind: libbpf_sys::bpf_attach_type,
) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, and no options.
    owned(unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            cgroup.as_raw_fd(),
            kind,
            std::ptr::null(),
        )
    })
}

/// `BPF_LINK_DETACH`: from now on the program is not run, whoever has the link open.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor, which the borrow keeps open.
    answered(unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

/// Whether a link still has its cgroup: one whose cgroup was removed has not.
pub(super) fn is_attached(link: BorrowedFd<'_>, cgroup: u64) -> io::Result<bool> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut len = size(size_of_val(&info));
    // SAFETY: the structure is as long as said, and outlives the call.
    let answer = unsafe {
        libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut len)
    };
    answered(answer)?;
    if info.type_ != libbpf_sys::BPF_LINK_TYPE_CGROUP {
        return Ok(false);
    }
    // SAFETY: the kernel has filled this member in for links of this type.
    Ok(unsafe { info.__bindgen_anon_1.cgroup }.cgroup_id == cgroup)
}

/// `BPF_PROG_TEST_RUN` of a program of the kind `syscall` over these bytes, which it may change.
pub(super) fn run(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<i32> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // The kernel writes the changed bytes back to where it read them.
    options.ctx_in = context.as_mut_ptr().cast::<c_void>().cast_const();
    options.ctx_size_in = size(context.len());
    // SAFETY: the options and the bytes that they point to outlive the call, with their sizes.
    let answer =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    answered(answer)?;
    Ok(options.retval.cast_signed())
}

fn write_at(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    // SAFETY: arrays have keys of four bytes, and the value's size was held against the map's.
    let answer = unsafe {
        libbpf_sys::bpf_map_update_elem(
            map.as_raw_fd(),
            (&raw const key).cast::<c_void>(),
            value.as_ptr().cast::<c_void>(),
            0,
        )
    };
    answered(answer).map(drop)
}

fn read_at(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) -> io::Result<()> {
    // SAFETY: arrays have keys of four bytes, and the value's size was held against the map's.
    let answer = unsafe {
        libbpf_sys::bpf_map_lookup_elem(
            map.as_raw_fd(),
            (&raw const key).cast::<c_void>(),
            value.as_mut_ptr().cast::<c_void>(),
        )
    };
    answered(answer).map(drop)
}

/// The kernel writes as many bytes as the map's values have: what is pinned may be another map.
fn check_size(map: BorrowedFd<'_>, value: usize) -> io::Result<()> {
    let mut info = libbpf_sys::bpf_map_info::default();
    let mut len = size(size_of_val(&info));
    // SAFETY: the structure is as long as said, and outlives the call.
    let answer =
        unsafe { libbpf_sys::bpf_map_get_info_by_fd(map.as_raw_fd(), &raw mut info, &raw mut len) };
    answered(answer)?;
    if info.key_size == 4 && info.value_size == size(value) {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

fn processors() -> io::Result<usize> {
    // SAFETY: has no arguments.
    let answer = answered(unsafe { libbpf_sys::libbpf_num_possible_cpus() })?;
    usize::try_from(answer).map_err(io::Error::other)
}

fn size(size: usize) -> u32 {
    u32::try_from(size).expect("nothing here is longer than some hundred kilobytes")
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
