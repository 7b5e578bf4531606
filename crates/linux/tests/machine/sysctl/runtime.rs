//! Setting the three defaults, and what the kernel makes of values.

use rustix::io::Errno;
use sockpulse_core::persisted::{Sysctl, read_as_kernel};
use sockpulse_linux::sysctl::{set, value};
use sockpulse_linux::{Operation, Proc};

use crate::common::{as_nobody, isolated, sh};

/// Texts around every rule of `proc_get_long()`.
const TEXTS: &[&str] = &[
    "5",
    "\n",
    " ",
    "0x10",
    "0X1F",
    "0x",
    "0x1g",
    "010",
    "08",
    "+5",
    "- 1",
    "-",
    "-0",
    "0",
    "-1",
    "-2",
    "-0x1",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "5abc",
    "5 abc",
    "5\t# c",
    "5#",
    "5\r",
    "5\x0b",
    "\x0b5",
    "\x0c5",
    "\r5",
    "5 6",
    "5,6",
    "5.0",
    "5s",
    "\"5\"",
    "1e2",
    "0b11",
    "00000000000000000005",
    "000000000000000000005",
    "0000000000000000000005",
    "-0000000000000000001",
    "-00000000000000000001",
    "99999999999999999999",
    "4294967301",
    "18446744073709551621",
    "2147483647",
    "2147483648",
    "-2147483648",
    "5                                                        x",
];

#[test]
fn root_values_are_read_as_the_kernel_reads_them() {
    let test = "sysctl::runtime::root_values_are_read_as_the_kernel_reads_them";
    isolated(test, || {
        let (proc, hz) = (Proc::default(), sockpulse_linux::hz());
        for sysctl in Sysctl::ALL {
            let (min, max) = sysctl.range(hz);
            let limits = [min - 1, min, max, max + 1].map(|value| value.to_string());
            let latin = [b"\xa05".to_vec(), b"5\xa0".to_vec()];
            let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec());
            let limits = limits.into_iter().map(String::into_bytes);
            for text in texts.chain(limits).chain(latin) {
                set(&proc, sysctl, 77).unwrap();
                let path = proc.root().join("sys").join(sysctl.path());
                let accepted = std::fs::write(path, [&text[..], b"\n"].concat()).is_ok();
                let found = value(&proc, sysctl).unwrap();
                let ours = read_as_kernel(sysctl, &text, hz);
                let shown = text.escape_ascii();
                assert_eq!(accepted, ours.is_ok(), "{sysctl:?} {shown}: {ours:?}");
                assert_eq!(found, ours.unwrap_or(77), "{sysctl:?} {shown}");
            }
        }
    });
}

#[test]
fn root_a_default_is_set_and_read_back() {
    let test = "sysctl::runtime::root_a_default_is_set_and_read_back";
    isolated(test, || {
        let proc = Proc::default();
        set(&proc, Sysctl::Idle, 60).unwrap();
        assert_eq!(value(&proc, Sysctl::Idle), Ok(60));
        let error = set(&proc, Sysctl::Probes, 256).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::INVAL));
        assert_eq!(
            error.reason(),
            "failed to write /proc/sys/net/ipv4/tcp_keepalive_probes: invalid argument"
        );
        sh("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys");
        let error = set(&proc, Sysctl::Idle, 61).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ROFS));
        assert_eq!(value(&proc, Sysctl::Idle), Ok(60));
    });
}

#[test]
fn root_without_the_right_a_default_stays() {
    const INNER: &str = "SOCKPULSE_TEST_NOBODY";
    let test = "sysctl::runtime::root_without_the_right_a_default_stays";
    if std::env::var_os(INNER).is_some() {
        let error = set(&Proc::default(), Sysctl::Interval, 9).unwrap_err();
        assert!(error.is_permission(), "{error:?}");
        let open = Operation::Open;
        assert!(error.to_string().starts_with(&open.to_string()), "{error}");
        return;
    }
    if !crate::common::needs_root(test) {
        return;
    }
    isolated(test, || {
        as_nobody(test, INNER, "1");
        assert_eq!(value(&Proc::default(), Sysctl::Interval), Ok(75));
    });
}
