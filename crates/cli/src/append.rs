//! Appends to a byte buffer. A listing has a million rows, so nothing here allocates or goes through
//! `core::fmt` on the usual path.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sockpulse_core::End;

/// A number in decimal.
pub(crate) fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A number with commas between thousands, for people.
pub(crate) fn grouped(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(sockpulse_core::grouped(value).as_bytes());
}

/// A number in hexadecimal with `0x`.
pub(crate) fn hex(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(b"0x");
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(hex_digit(value >> (at * 4)));
    }
}

fn hex_digit(value: u64) -> u8 {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let [low, ..] = value.to_le_bytes();
    DIGITS[usize::from(low & 15)]
}

/// Milliseconds as seconds with at most three decimals, without trailing zeros: `754.4`.
pub(crate) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    let millis = duration.subsec_millis();
    if millis > 0 {
        out.push(b'.');
        let mut scale = 100;
        let mut rest = millis;
        while rest > 0 {
            number(out, rest / scale);
            rest %= scale;
            scale /= 10;
        }
    }
}

/// A duration with its two largest units, rounded down: `2h11m`, `63d4h`, `1.5s`, `250ms`.
pub(crate) fn span(out: &mut Vec<u8>, millis: u64) {
    const UNITS: [(u64, u8); 4] = [
        (86_400_000, b'd'),
        (3_600_000, b'h'),
        (60_000, b'm'),
        (1_000, b's'),
    ];
    if millis < 1_000 {
        number(out, millis);
        out.extend_from_slice(if millis == 0 { b"s" } else { b"ms" });
        return;
    }
    if millis < 10_000 {
        number(out, millis / 1_000);
        if millis % 1_000 >= 100 {
            out.push(b'.');
            number(out, millis % 1_000 / 100);
        }
        out.push(b's');
        return;
    }
    let mut rest = millis;
    let mut left = 0;
    for (scale, unit) in UNITS {
        let count = rest / scale;
        rest %= scale;
        if left == 0 && count > 0 {
            left = 2;
        }
        if left > 0 {
            if count > 0 {
                number(out, count);
                out.push(unit);
            }
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

/// A setting in seconds. Up to two minutes as it is written everywhere: the kernel's interval is
/// known as 75 s, not as 1m15s.
pub(crate) fn setting_seconds(out: &mut Vec<u8>, value: i64) {
    match u64::try_from(value) {
        Ok(seconds) if seconds >= 120 => span(out, seconds.saturating_mul(1_000)),
        _ => {
            number(out, value);
            out.push(b's');
        }
    }
}

/// Bytes with a binary unit: `512`, `4.0K`, `1.3M`.
pub(crate) fn volume(out: &mut Vec<u8>, bytes: u64) {
    if bytes < 1024 {
        number(out, bytes);
        return;
    }
    let mut whole = bytes;
    let mut rest = 0;
    let mut unit = b' ';
    for next in *b"KMGTPE" {
        if whole < 1024 {
            break;
        }
        rest = whole % 1024;
        whole /= 1024;
        unit = next;
    }
    number(out, whole);
    if whole < 100 {
        out.push(b'.');
        number(out, rest * 10 / 1024);
    }
    out.push(unit);
}

/// An address as its standard text form; IPv6 as RFC 5952 says.
pub(crate) fn address(out: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => ipv4(out, addr),
        IpAddr::V6(addr) => ipv6(out, addr),
    }
}

/// An address with its port, IPv6 in brackets.
pub(crate) fn end(out: &mut Vec<u8>, end: &End) {
    match end.addr {
        IpAddr::V4(addr) => ipv4(out, addr),
        IpAddr::V6(addr) => {
            out.push(b'[');
            ipv6(out, addr);
            out.push(b']');
        }
    }
    out.push(b':');
    number(out, end.port);
}

fn ipv4(out: &mut Vec<u8>, addr: Ipv4Addr) {
    // All four parts go through one buffer: four appends to the vector cost more.
    let mut text = [0; 15];
    let mut len = 0;
    for (at, octet) in addr.octets().into_iter().enumerate() {
        if at > 0 {
            text[len] = b'.';
            len += 1;
        }
        if octet >= 100 {
            text[len] = b'0' + octet / 100;
            len += 1;
        }
        if octet >= 10 {
            text[len] = b'0' + octet / 10 % 10;
            len += 1;
        }
        text[len] = b'0' + octet % 10;
        len += 1;
    }
    out.extend_from_slice(&text[..len]);
}

fn ipv6(out: &mut Vec<u8>, addr: Ipv6Addr) {
    if let Some(inner) = addr.to_ipv4_mapped() {
        out.extend_from_slice(b"::ffff:");
        ipv4(out, inner);
        return;
    }
    let parts = addr.segments();
    let zeros = longest_zeros(&parts);
    let mut at = 0;
    while at < parts.len() {
        if zeros.len() > 1 && at == zeros.start {
            out.extend_from_slice(b"::");
            at = zeros.end;
            continue;
        }
        let after_gap = zeros.len() > 1 && at == zeros.end;
        if at > 0 && !after_gap {
            out.push(b':');
        }
        let part = u64::from(parts[at]);
        let digits = (u64::BITS - part.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            out.push(hex_digit(part >> (digit * 4)));
        }
        at += 1;
    }
}

/// The first of the longest runs of zeros.
fn longest_zeros(parts: &[u16; 8]) -> std::ops::Range<usize> {
    let mut best = 0..0;
    let mut run = 0..0;
    for (at, part) in parts.iter().enumerate() {
        if *part == 0 {
            run = if run.end == at && !run.is_empty() {
                run.start..at + 1
            } else {
                at..at + 1
            };
            if run.len() > best.len() {
                best = run.clone();
            }
        }
    }
    best
}

/// A JSON string with its quotes. Invalid UTF-8 becomes U+FFFD; control characters, which a terminal
/// would obey, are escaped.
pub(crate) fn json_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if bytes
        .iter()
        .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'))
    {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| json_char(out, c));
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn json_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        c => json_safe(out, c),
    }
}

/// A JSON document that was made elsewhere and has no line ends: control characters that may stand
/// raw in JSON's strings are escaped as in [`json_string()`].
pub(crate) fn json_document(out: &mut Vec<u8>, text: &str) {
    text.chars().for_each(|c| json_safe(out, c));
}

/// A character of a JSON string, escaped if it misleads.
fn json_safe(out: &mut Vec<u8>, c: char) {
    if misleading(c) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a vector does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    } else {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Characters that a terminal obeys or that reorder the text around them.
pub(crate) fn misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text for a terminal or a CSV field: control characters and bytes that are not UTF-8 as `\x1b`,
/// characters that reorder text as `\u{202e}`, a backslash as two.
pub(crate) fn visible(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes
        .iter()
        .all(|b| matches!(b, b' '..=b'~') && *b != b'\\')
    {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a vector does not fail.
            let _ = match c {
                '\\' => out.write_all(b"\\\\"),
                c if c.is_control() && u32::from(c) < 0x80 => {
                    write!(out, "\\x{:02x}", u32::from(c))
                }
                c if misleading(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
                c => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        append(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spans_show_two_units() {
        for (millis, shown) in [
            (0, "0s"),
            (250, "250ms"),
            (1_000, "1s"),
            (1_550, "1.5s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (61_000, "1m1s"),
            (7_875_000, "2h11m"),
            (7_200_000, "2h"),
            (7_201_000, "2h"),
            (86_400_000, "1d"),
            (5_458_000_000, "63d4h"),
        ] {
            assert_eq!(text(|out| span(out, millis)), shown, "{millis}");
        }
    }

    #[test]
    fn numbers_for_people() {
        for (bytes, shown) in [
            (0, "0"),
            (1_023, "1023"),
            (1_024, "1.0K"),
            (1_536, "1.5K"),
            (102_400, "100K"),
            (3 << 30, "3.0G"),
        ] {
            assert_eq!(text(|out| volume(out, bytes)), shown);
        }
        for (millis, shown) in [
            (754_400, "754.4"),
            (735_000, "735"),
            (1_005, "1.005"),
            (20, "0.02"),
        ] {
            assert_eq!(
                text(|out| seconds(out, Duration::from_millis(millis))),
                shown
            );
        }
        assert_eq!(text(|out| hex(out, 0)), "0x0");
        assert_eq!(text(|out| hex(out, 42)), "0x2a");
    }

    #[test]
    fn hostile_text_is_shown_and_not_obeyed() {
        for (bytes, shown) in [
            (&b"redis-server"[..], "redis-server"),
            (b"\x1b[2Jx", "\\x1b[2Jx"),
            (b"a\xffb", "a\\xffb"),
            ("é\u{85}\u{202e}".as_bytes(), "é\\u{85}\\u{202e}"),
            (b"a\\b", "a\\\\b"),
        ] {
            assert_eq!(text(|out| visible(out, bytes)), shown);
        }
    }

    proptest! {
        #[test]
        fn addresses_are_written_as_the_standard_library_does(
            parts in prop::array::uniform8(prop_oneof![Just(0u16), any::<u16>()]), v4: [u8; 4]
        ) {
            for addr in [IpAddr::from(parts), IpAddr::from(v4)] {
                prop_assert_eq!(text(|out| address(out, addr)), addr.to_string());
            }
        }

        #[test]
        fn hex_and_seconds_agree_with_fmt(value: u64, millis in 0..1u64 << 40) {
            prop_assert_eq!(text(|out| hex(out, value)), format!("{value:#x}"));
            let shown: f64 = text(|out| seconds(out, Duration::from_millis(millis))).parse().unwrap();
            prop_assert!((shown * 1e3 - millis as f64).abs() < 0.5);
        }

        #[test]
        fn any_bytes_make_a_json_string(bytes: Vec<u8>) {
            let json = text(|out| json_string(out, &bytes));
            let parsed: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&bytes));
            prop_assert!(!json.chars().any(char::is_control));
        }

        #[test]
        fn visible_text_has_no_control_characters(bytes: Vec<u8>) {
            prop_assert!(!text(|out| visible(out, &bytes)).chars().any(misleading));
        }
    }
}
