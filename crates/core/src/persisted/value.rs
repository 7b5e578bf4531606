//! A value as the kernel reads it when it is written to /proc/sys.

use super::Sysctl;
use crate::wheel::Hz;

/// Why the kernel answers EINVAL to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nothing but blanks.
    #[error("there is no value")]
    Empty,
    /// It does not begin with a number. A plus sign is none, quotes are not taken away.
    #[error("the value is no number")]
    NotANumber,
    /// The number is followed by something other than a blank: `60s`, `60#`, a carriage return.
    #[error("the number is followed by other characters")]
    Trailing,
    /// More characters than the kernel looks at.
    #[error("the number has more than 20 characters")]
    TooLong,
    /// A number, but out of range.
    #[error("the value must be between {min} and {max}, not {value}")]
    OutOfRange {
        /// The number.
        value: i64,
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
}

/// The most characters of a number (`TMPBUFLEN` without the end and one to look at, kernel/sysctl.c).
const MOST_CHARACTERS: usize = 20;

/// What the kernel makes of `text`, as `proc_get_long()` in kernel/sysctl.c reads it: blanks, an
/// optional minus, then a decimal number, an octal one after `0`, or a hexadecimal one after `0x`.
/// Whatever follows after a blank, tab or line end is ignored: `60 # a minute` is 60.
///
/// # Errors
/// [`Refused`]: a write of this text fails with EINVAL and changes nothing.
pub fn read_as_kernel(sysctl: Sysctl, text: &[u8], hz: Option<Hz>) -> Result<i64, Refused> {
    let start = text.iter().position(|byte| !is_space(*byte));
    let text = &text[start.ok_or(Refused::Empty)?..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(Refused::NotANumber);
    }
    let (magnitude, rest) = number(digits);
    let length = text.len() - rest.len();
    if length > MOST_CHARACTERS {
        return Err(Refused::TooLong);
    }
    if !matches!(rest.first(), None | Some(b' ' | b'\t' | b'\n')) {
        return Err(Refused::Trailing);
    }
    let (min, max) = sysctl.range(hz);
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    let value = if negative { -magnitude } else { magnitude };
    // The byte of the probes takes no sign at all, not even that of `-0`.
    let signed = negative && sysctl == Sysctl::Probes;
    if signed || value < min || value > max {
        return Err(Refused::OutOfRange { value, min, max });
    }
    Ok(value)
}

/// `isspace()` of the kernel, which knows Latin-1's unbreakable blank (lib/ctype.c).
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

/// The number at the start, at most `u64::MAX`, and what follows it.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let mut value = 0_u64;
    for (at, byte) in digits.iter().enumerate() {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            return (value, &digits[at..]);
        };
        value = value
            .saturating_mul(u64::from(radix))
            .saturating_add(u64::from(digit));
    }
    (value, &[])
}
