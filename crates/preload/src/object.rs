//! The shared object: what the dynamic linker runs when it is loaded, and the functions that stand in
//! front of libc's.
//!
//! Nothing here allocates, locks or keeps anything about a socket, so threads, fork(2), vfork(2) and
//! signal handlers need no thought: connect(2) and its like may be called in one, `dlsym` may not, so
//! it is asked on loading. What a program reads through `errno` is its own call's: ours are made past
//! libc.

#![expect(unsafe_code, reason = "called by C in the place of libc's functions")]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::environment::{self, Environment};
use crate::kernel::{self, IntOption, SO_KEEPALIVE, TCP_USER_TIMEOUT, TIMINGS, number};
use crate::libc::{self, Next, Text};
use crate::request::{Mode, Request};
use crate::settle::{Moment, all_held, lift_user_timeout, settle};

/// Runs before `main`; under glibc after what the program's other libraries run then.
#[unsafe(link_section = ".init_array")]
#[used]
static LOAD: extern "C" fn(c_int, *const Text, *const Text) = load;

/// What is wanted, written once by [`load`].
static WANTED: Wanted = Wanted {
    request: UnsafeCell::new(None),
    is_loaded: AtomicBool::new(false),
};

struct Wanted {
    request: UnsafeCell<Option<Request>>,
    is_loaded: AtomicBool,
}

// SAFETY: written before `is_loaded` is set, and only read after.
unsafe impl Sync for Wanted {}

/// The function of that name behind ours; where it cannot be found, the system call itself.
macro_rules! next {
    ($(fn $name:ident($($argument:ident: $type:ty),*) = $symbol:literal or $number:ident;)*) => {
        mod next {
            $(pub(super) static $number: super::Next = super::Next::new($symbol);)*
        }

        fn find_next() {
            $(next::$number.find();)*
        }

        $(fn $name($($argument: $type),*) -> c_int {
            let found = next::$number.find();
            if found.is_null() {
                let mut arguments = [0; 5];
                for (place, argument) in arguments.iter_mut().zip([$(Word::word($argument)),*]) {
                    *place = argument;
                }
                // SAFETY: what the program asks for, with its own arguments.
                return libc::result(unsafe { kernel::call(number::$number, arguments) });
            }
            // SAFETY: the C library's function of that name has this type.
            let found: extern "C" fn($($type),*) -> c_int = unsafe { transmute(found) };
            found($($argument),*)
        })*
    };
}

next! {
    fn next_socket(family: c_int, kind: c_int, protocol: c_int) = c"socket" or SOCKET;
    fn next_connect(fd: c_int, address: *const c_void, length: u32) = c"connect" or CONNECT;
    fn next_listen(fd: c_int, backlog: c_int) = c"listen" or LISTEN;
    fn next_accept(fd: c_int, address: *const c_void, length: *const c_void) = c"accept" or ACCEPT;
    fn next_accept4(fd: c_int, address: *const c_void, length: *const c_void, flags: c_int) =
        c"accept4" or ACCEPT4;
    fn next_setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) =
        c"setsockopt" or SETSOCKOPT;
}

/// An argument of a system call.
trait Word {
    fn word(self) -> usize;
}

impl Word for c_int {
    fn word(self) -> usize {
        kernel::word(self)
    }
}

impl Word for u32 {
    fn word(self) -> usize {
        self as usize
    }
}

impl Word for *const c_void {
    fn word(self) -> usize {
        self.expose_provenance()
    }
}

/// socket(2)
#[unsafe(no_mangle)]
extern "C" fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int {
    let fd = next_socket(family, kind, protocol);
    if fd >= 0 && may_be_tcp(family, kind) {
        settle_if(|request| !request.is_selective(), fd, Moment::Created);
    }
    fd
}

/// connect(2)
#[unsafe(no_mangle)]
extern "C" fn connect(fd: c_int, address: *const c_void, length: u32) -> c_int {
    let Some(request) = WANTED.request() else {
        return next_connect(fd, address, length);
    };
    if !request.is_selective() {
        settle(request, fd, Moment::Used);
        return next_connect(fd, address, length);
    }
    // Programs call it again to learn what became of a connection, which has been judged then.
    let is_judged = kernel::is_under_way(fd);
    let result = next_connect(fd, address, length);
    // Only now it has both ends, also when the connection is still being made.
    if !is_judged {
        settle(request, fd, Moment::Used);
    }
    result
}

/// listen(2)
#[unsafe(no_mangle)]
extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    // What is accepted inherits it. Where ends matter, each accepted connection is judged instead.
    settle_if(|request| !request.is_selective(), fd, Moment::Used);
    next_listen(fd, backlog)
}

/// accept(2)
#[unsafe(no_mangle)]
extern "C" fn accept(fd: c_int, address: *const c_void, length: *const c_void) -> c_int {
    accepted(next_accept(fd, address, length))
}

/// accept4(2)
#[unsafe(no_mangle)]
extern "C" fn accept4(
    fd: c_int,
    address: *const c_void,
    length: *const c_void,
    flags: c_int,
) -> c_int {
    accepted(next_accept4(fd, address, length, flags))
}

/// setsockopt(2)
#[unsafe(no_mangle)]
extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: u32,
) -> c_int {
    let option = IntOption { level, name };
    let set = || next_setsockopt(fd, level, name, value, length);
    let is_timing = TIMINGS.contains(&option);
    if !(is_timing || option == SO_KEEPALIVE || option == TCP_USER_TIMEOUT) {
        return set();
    }
    let Some(request) = WANTED.request() else {
        return set();
    };
    // The program's value is set first and looked at in the kernel: its pointer may be bad.
    if request.mode != Mode::Fill {
        let result = set();
        settle(request, fd, Moment::Asked);
        return result;
    }
    let before = request.user_timeout.filter(|_| is_timing).zip(all_held(fd));
    let result = set();
    if let Some((wanted, before)) = before {
        lift_user_timeout(wanted, fd, &before);
    }
    result
}

/// What glibc calls with arguments, environment included, and other libcs without.
extern "C" fn load(_count: c_int, _arguments: *const Text, environment: *const Text) {
    find_next();
    let environment = (!libc::has_more_rights_than_its_caller()).then(|| {
        // SAFETY: this is the loading, and that the third argument.
        unsafe { libc::environment(environment) }
    });
    let entries = environment.into_iter().flatten();
    let Environment { request, listeners } = environment::read(entries, kernel::process_id());
    let request = request.unwrap_or_else(|error| {
        for part in [
            "sockpulse: keepalive is left alone, SOCKPULSE_RUN: ",
            error.message(),
            "\n",
        ] {
            kernel::complain(part.as_bytes());
        }
        None
    });
    // SAFETY: nobody reads it before the next line.
    unsafe { WANTED.request.get().write(request) };
    WANTED.is_loaded.store(true, Ordering::Release);
    // A connection that inetd passes on, and the listeners of systemd.
    for fd in (0..3).chain((3..).take(usize::from(listeners))) {
        settle_if(|_| true, fd, Moment::Inherited);
    }
}

impl Wanted {
    fn request(&self) -> Option<&Request> {
        if !self.is_loaded.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: it was written before `is_loaded` was set, and never after.
        let request = unsafe { &*self.request.get() };
        request.as_ref()
    }
}

fn settle_if(applies: impl Fn(&Request) -> bool, fd: c_int, moment: Moment) {
    if let Some(request) = WANTED.request().filter(|request| applies(request)) {
        settle(request, fd, moment);
    }
}

fn accepted(fd: c_int) -> c_int {
    if fd >= 0 {
        settle_if(|_| true, fd, Moment::Accepted);
    }
    fd
}

/// Spares other sockets the system calls; which they are is asked of the kernel.
const fn may_be_tcp(family: c_int, kind: c_int) -> bool {
    const AF_INET: c_int = 2;
    const AF_INET6: c_int = 10;
    const SOCK_STREAM: c_int = 1;
    const KIND: c_int = 0xf;
    matches!(family, AF_INET | AF_INET6) && kind & KIND == SOCK_STREAM
}

/// There is nothing that panics; the compiler wants it said.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: it ends the process by SIGILL.
        unsafe {
            asm!("ud2");
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: it ends the process by SIGTRAP.
        unsafe {
            asm!("brk #1");
        }
    }
}
