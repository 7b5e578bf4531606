//! Idle times that differ a little, so that connections that are set at the same time are not probed
//! at the same time.

use crate::connection::Cookie;
use crate::settings::KeepIdle;

/// Whether idle times differ from connection to connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Jitter {
    /// By up to an eighth, always downwards.
    #[default]
    Eighth,
    /// Not at all.
    None,
}

/// The most that [`jittered`] takes off, in seconds.
#[must_use]
pub(super) fn most(idle: KeepIdle) -> u16 {
    idle.get() / 8
}

/// The idle time less up to an eighth. It follows from the cookie, so that the same connection gets
/// the same idle time again.
#[must_use]
pub fn jittered(idle: KeepIdle, cookie: Cookie) -> KeepIdle {
    let less = mixed(cookie.0) % (u64::from(most(idle)) + 1);
    // At least seven eighths remain of what was in range.
    KeepIdle::new(u64::from(idle.get()) - less).unwrap_or(idle)
}

/// Cookies are counted upwards: neighbours shall not be neighbours here (the last steps of
/// SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_asked_and_never_less_than_seven_eighths() {
        for seconds in [1, 7, 8, 60, 7200, 32767] {
            let idle = KeepIdle::new(seconds).unwrap();
            for cookie in 0..2_000 {
                let got = u64::from(jittered(idle, Cookie(cookie)).get());
                assert!(got <= seconds && got >= seconds - seconds / 8, "{got}");
                assert_eq!(
                    jittered(idle, Cookie(cookie)).get(),
                    u16::try_from(got).unwrap()
                );
            }
        }
    }

    /// Cookies of connections that were opened one after the other differ by one, or by the number
    /// of processors' batches.
    #[test]
    fn all_values_are_used_alike() {
        let idle = KeepIdle::new(60).unwrap();
        for step in [1, 4096] {
            let mut counts = [0_u32; 8];
            for n in 0..8_000 {
                counts[usize::from(60 - jittered(idle, Cookie(n * step)).get())] += 1;
            }
            for count in counts {
                assert!((850..1150).contains(&count), "{counts:?}");
            }
        }
    }
}
