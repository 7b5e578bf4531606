//! A TUN device: packets that the kernel sends through it are read from a file, and what is written is
//! received (Documentation/networking/tuntap.rst).

#![expect(unsafe_code, reason = "TUNSETIFF has no wrapper")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const NAME: &[u8] = b"stranger";

/// Makes the device `stranger` in the calling thread's network namespace, where it lives as long as the
/// file is open.
pub(crate) fn open() -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: ifreq holds plain numbers, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME) {
        *to = libc::c_char::try_from(*from).unwrap();
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap();
    // SAFETY: the request is of the type that TUNSETIFF reads.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}
