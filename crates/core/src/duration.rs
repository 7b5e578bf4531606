//! Durations as people write them: `90s`, `15m`, `2h`, `1h30m`; a bare number is seconds.

use core::fmt;
use core::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing: write one like 90s, 15m, 2h or 1h30m")]
    Empty,
    /// A part is not a number with a unit.
    #[error("not a duration: write one like 90s, 15m, 2h or 1h30m (a bare number is seconds)")]
    Malformed,
    /// Units must go from large to small, each once.
    #[error("units must go from large to small, each once, as in 1h30m")]
    Order,
    /// More than 64 bits of milliseconds.
    #[error("the duration is too long")]
    TooLong,
}

/// Parses `90s`, `15m`, `2h`, `1h30m`, `1d`, `250ms`; a bare number is seconds.
///
/// # Errors
/// [`DurationError`] says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: u64 = text.parse().map_err(|_| DurationError::TooLong)?;
        seconds.checked_mul(1_000).ok_or(DurationError::TooLong)?;
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_scale = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(DurationError::Malformed)?;
        if *scale >= last_scale {
            return Err(DurationError::Order);
        }
        last_scale = *scale;
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        total = number
            .checked_mul(*scale)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// Shows a duration with its two or three largest units, and parses back to the same value when it
/// is a whole number of milliseconds.
#[must_use]
pub fn human(duration: Duration) -> Human {
    Human(duration)
}

/// See [`human`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Human(Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.pad("0s");
        }
        // Widths come from the caller through `pad`, so the text is assembled first.
        let mut text = stack_text::Text::<64>::new();
        for (unit, scale) in UNITS {
            let count = rest / u128::from(scale);
            rest %= u128::from(scale);
            if count > 0 {
                fmt::Write::write_fmt(&mut text, format_args!("{count}{unit}"))?;
            }
        }
        f.pad(text.as_str())
    }
}

mod stack_text {
    //! A short text on the stack: durations are printed a million times in a listing.
    use core::fmt;

    pub(super) struct Text<const N: usize> {
        bytes: [u8; N],
        len: usize,
    }

    impl<const N: usize> Text<N> {
        pub(super) fn new() -> Self {
            Self {
                bytes: [0; N],
                len: 0,
            }
        }
        pub(super) fn as_str(&self) -> &str {
            core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
        }
    }

    impl<const N: usize> fmt::Write for Text<N> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
            self.bytes
                .get_mut(self.len..end)
                .ok_or(fmt::Error)?
                .copy_from_slice(s.as_bytes());
            self.len = end;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("0", 0),
            ("90", 90_000),
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("250ms", 250),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, error) in [
            ("", DurationError::Empty),
            ("h", DurationError::Malformed),
            ("5x", DurationError::Malformed),
            ("1.5h", DurationError::Malformed),
            ("-5s", DurationError::Malformed),
            ("5m1h", DurationError::Order),
            ("5m5m", DurationError::Order),
            ("99999999999999999999", DurationError::TooLong),
            ("18446744073709551615", DurationError::TooLong),
            ("9999999999999999d", DurationError::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn prints_the_units_that_count() {
        for (millis, text) in [
            (0, "0s"),
            (7_875_000, "2h11m15s"),
            (300_000, "5m"),
            (86_400_000, "1d"),
            (1_500, "1s500ms"),
        ] {
            assert_eq!(human(Duration::from_millis(millis)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(millis in 0u64..=u64::MAX / 2) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&human(duration).to_string()), Ok(duration));
        }
    }
}
