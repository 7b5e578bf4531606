//! Durations as people write them, in milliseconds: `60`, `60s`, `2m`, `1h30m`, `1500ms`.

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads what sockpulse's flags read; `None` for anything else. A bare number is seconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_scale = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit = if number.len() == text.len() {
            "s"
        } else {
            unit
        };
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *scale >= last_scale {
            return None;
        }
        last_scale = *scale;
        let part = number.parse::<u64>().ok()?.checked_mul(*scale)?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_flags_read_them() {
        for (text, wanted) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            ("1h30m", Some(5_400_000)),
            ("1500ms", Some(1_500)),
            ("1s500ms", Some(1_500)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("5s5m", None),
            ("5s5", None),
            ("-5", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(milliseconds(text), wanted, "{text:?}");
        }
    }
}
