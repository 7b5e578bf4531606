//! What the program's C library offers: the functions behind ours, and its environment.
//!
//! All of it is asked for weakly and without a version. glibc before 2.34 has `dlsym` in another
//! library, which a program may not have loaded; other libcs lack other things.

#![expect(unsafe_code, reason = "the C library's functions and variables")]

use core::arch::global_asm;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::iter;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A string of C, as in an environment.
pub(crate) type Text = *const c_char;

/// Pointers that the dynamic linker fills in: null where there is no such symbol. Rust has no weak
/// symbols, the assembler has.
#[repr(C)]
struct Symbols {
    dlsym: Option<unsafe extern "C" fn(*mut c_void, Text) -> *mut c_void>,
    errno: Option<unsafe extern "C" fn() -> *mut c_int>,
    auxiliary: Option<unsafe extern "C" fn(usize) -> usize>,
    glibc_version: *const c_void,
    environment: *const *const Text,
}

// SAFETY: the dynamic linker writes it before any code runs, and then makes it read-only.
unsafe impl Sync for Symbols {}

global_asm!(
    ".weak dlsym, __errno_location, getauxval, gnu_get_libc_version, environ",
    ".pushsection .data.rel.ro.sockpulse, \"aw\", @progbits",
    ".balign 8",
    ".globl sockpulse_symbols",
    ".hidden sockpulse_symbols",
    "sockpulse_symbols:",
    ".quad dlsym, __errno_location, getauxval, gnu_get_libc_version, environ",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "sockpulse_symbols"]
    static SYMBOLS: Symbols;
}

/// A function of libc, or of another library that stands in front of it.
pub(crate) struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Null where the program has no `dlsym`. Looked up once, on loading; again only if that failed,
    /// or if code of another library that runs before comes here first.
    pub(crate) fn find(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        let found = lookup(self.name);
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Hands a system call's result on as libc's functions do.
pub(crate) fn result(result: c_long) -> c_int {
    if result >= 0 {
        return c_int::try_from(result).unwrap_or(c_int::MAX);
    }
    if let Some(errno) = symbols().errno {
        // SAFETY: it takes nothing and gives this thread's `errno`.
        let errno = unsafe { errno() };
        let code = c_int::try_from(-result).unwrap_or(c_int::MAX);
        // SAFETY: `errno` is an int of this thread.
        unsafe { errno.write(code) };
    }
    -1
}

/// Whether the program has rights that its caller has not: what its environment says then does not
/// count, as for the dynamic linker itself (`AT_SECURE`, getauxval(3)).
pub(crate) fn has_more_rights_than_its_caller() -> bool {
    const AT_SECURE: usize = 23;
    // SAFETY: getauxval(3) takes any number.
    let answer = symbols()
        .auxiliary
        .map(|auxiliary| unsafe { auxiliary(AT_SECURE) });
    answer.is_some_and(|secure| secure != 0)
}

/// The entries of the environment at the start of the program. glibc may not have set its variable yet;
/// then `given` counts, which it hands to the code that runs on loading. Other libcs hand over nothing
/// there, but have set theirs, also where a library that mimics glibc is loaded (gcompat).
///
/// # Safety
/// To be called on loading only, while there is one thread; `given` is the third argument.
pub(crate) unsafe fn environment(
    given: *const Text,
) -> impl Iterator<Item = &'static [u8]> + Clone {
    let symbols = symbols();
    let mut next = if symbols.environment.is_null() {
        ptr::null()
    } else {
        // SAFETY: the C library's variable, which nobody else touches while loading.
        unsafe { symbols.environment.read() }
    };
    if next.is_null() && !symbols.glibc_version.is_null() {
        next = given;
    }
    iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the list ends with a null pointer, which has not been reached.
        let entry = unsafe { next.read() };
        if entry.is_null() {
            return None;
        }
        // SAFETY: there is one more, if only the null pointer.
        next = unsafe { next.add(1) };
        // SAFETY: an entry is a text that ends with a zero byte; it is on the stack of the process,
        // and unchanged while loading.
        Some(unsafe { CStr::from_ptr(entry) }.to_bytes())
    })
}

fn lookup(name: &CStr) -> *mut c_void {
    const RTLD_NEXT: usize = usize::MAX;
    let Some(dlsym) = symbols().dlsym else {
        return ptr::null_mut();
    };
    let next = ptr::without_provenance_mut(RTLD_NEXT);
    // SAFETY: dlsym(3) takes this handle, and a name that ends with a zero byte.
    unsafe { dlsym(next, name.as_ptr()) }
}

fn symbols() -> &'static Symbols {
    // SAFETY: defined above, and written by nobody after the program was loaded.
    unsafe { &SYMBOLS }
}
