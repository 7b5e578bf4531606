//! What is said when the kernel or the caller's rights do not allow it.

#![expect(unsafe_code, reason = "system calls that std does not offer")]

use std::ffi::CStr;
use std::process::Command;

use sockpulse_bpf::{Error, IterTcp, RiskAccepted, TaskFile, risk, support};
use sockpulse_linux::support::Support;

use crate::common::*;

fn message(error: &Error) -> String {
    error.to_string()
}

#[test]
fn root_without_capabilities_it_names_those_that_are_missing() {
    in_namespace(|| {
        mount_bpffs();
        drop_capabilities();
        let error = TaskFile::load().unwrap_err();
        assert!(matches!(error, Error::NotPermitted { .. }), "{error:?}");
        assert!(
            message(&error).contains("CAP_BPF and CAP_PERFMON"),
            "{error}"
        );
        for facility in support::facilities(accepted()) {
            let Support::No { why } = &facility.support else {
                assert!(["BTF", "bpffs"].contains(&facility.name), "{facility:?}");
                continue;
            };
            assert!(why.contains("not permitted"), "{facility:?}");
            assert!(facility.grant.unwrap().contains("CAP_BPF"));
        }
    });
}

#[test]
fn root_without_types_it_names_the_kernels_option() {
    in_namespace(|| {
        mount_over(c"/sys/kernel/btf", c"tmpfs");
        let error = TaskFile::load().unwrap_err();
        assert!(matches!(error, Error::NoBtf { .. }), "{error:?}");
        assert!(message(&error).contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    });
}

#[test]
fn root_where_bpf_is_filtered_it_says_so() {
    in_namespace(|| {
        filter_bpf();
        let error = TaskFile::load().unwrap_err();
        assert!(matches!(error, Error::NoBpf { .. }), "{error:?}");
        assert!(message(&error).contains("no bpf(2)"), "{error}");
    });
}

/// The test before runs again as a process of its own, whose stderr can be read.
#[test]
fn root_libbpf_complains_to_the_log_only() {
    in_namespace(|| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("refusals::root_without_capabilities_it_names_those_that_are_missing")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("libbpf"), "{said}");
    });
}

#[test]
fn root_with_everything_granted_all_facilities_are_there() {
    in_namespace(|| {
        mount_bpffs();
        for facility in support::facilities(accepted()) {
            assert_eq!(facility.support, Support::Yes, "{facility:?}");
            assert_eq!(facility.grant, None);
        }
    });
}

#[test]
fn root_the_tcp_iterator_is_refused_exactly_on_affected_kernels() {
    in_namespace(|| {
        let affected = risk::affected().contains(&risk::TCP_ITERATOR);
        match IterTcp::load(RiskAccepted::NONE) {
            Ok(_) => assert!(!affected),
            Err(error) => {
                assert!(affected, "{error:?}");
                assert!(message(&error).contains("CVE-2026-74714"), "{error}");
            }
        }
        assert!(IterTcp::load(accepted()).is_ok());
    });
}

#[test]
fn root_a_buffer_without_room_for_a_record_is_refused() {
    in_namespace(|| {
        let mut reader = TaskFile::load().unwrap().open(None).unwrap();
        let error = reader.read(&mut [0; 100]).unwrap_err();
        assert!(matches!(error, Error::BufferTooSmall { len: 100, .. }));
    });
}

/// Of the calling thread alone.
fn drop_capabilities() {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    // _LINUX_CAPABILITY_VERSION_3: two sets of effective, permitted, inheritable.
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let none = [0u32; 6];
    // SAFETY: the structures are those of capset(2).
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    assert_eq!(answer, 0);
}

/// Not every machine has one where it belongs.
fn mount_bpffs() {
    mount_over(c"/sys/fs/bpf", c"bpf");
}

/// An empty file system over a directory, in a mount namespace of the calling thread's own.
fn mount_over(path: &CStr, kind: &CStr) {
    unshare(libc::CLONE_NEWNS);
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let null = std::ptr::null;
    // SAFETY: the strings end in NUL, and nothing else is read for these flags.
    check(unsafe { libc::mount(null(), c"/".as_ptr(), null(), private, null().cast()) });
    let kind = kind.as_ptr();
    // SAFETY: the strings end in NUL, and neither file system needs data.
    check(unsafe { libc::mount(kind, path.as_ptr(), kind, 0, null().cast()) });
}

/// Makes bpf(2) answer ENOSYS to the calling thread.
fn filter_bpf() {
    let statement = |code: u32, k: u32, (jt, jf): (u8, u8)| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let enosys = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let bpf = u32::try_from(libc::SYS_bpf).unwrap();
    let mut filter = [
        // The number of the system call is the first field.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, (0, 0)),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, bpf, (0, 1)),
        statement(libc::BPF_RET | libc::BPF_K, enosys, (0, 0)),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, (0, 0)),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program points to as many instructions as it says.
    check(unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    });
}
