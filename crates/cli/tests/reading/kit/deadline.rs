//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long anything is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

const STEP: Duration = Duration::from_millis(5);

/// Looks again and again until there is something.
///
/// # Panics
/// When there is nothing within [`LIMIT`].
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::park_timeout(STEP);
    }
}
