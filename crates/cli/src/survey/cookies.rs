//! The set of sockets already seen, by cookie.

use hashbrown::HashMap;

/// A set of cookies. The kernel hands them out in runs, so 64 neighbours share one word: a machine
/// whose sockets were first asked for their cookies by one dump needs less than a byte a socket;
/// at worst (every cookie far from the next) an entry costs about 40 bytes.
#[derive(Debug, Default)]
pub(super) struct CookieSet {
    words: HashMap<u64, u64>,
}

impl CookieSet {
    /// Adds a cookie; whether it was new.
    pub(super) fn insert(&mut self, cookie: u64) -> bool {
        let word = self.words.entry(cookie >> 6).or_default();
        let bit = 1 << (cookie & 63);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(super) fn contains(&self, cookie: u64) -> bool {
        self.words
            .get(&(cookie >> 6))
            .is_some_and(|word| word & (1 << (cookie & 63)) != 0)
    }

    /// Puts in everything that `other` has.
    pub(super) fn add(&mut self, other: &Self) {
        for (key, word) in &other.words {
            *self.words.entry(*key).or_default() |= word;
        }
    }

    /// Takes out everything that `other` has.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.words.retain(|key, word| {
            *word &= !other.words.get(key).copied().unwrap_or(0);
            *word != 0
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(a in prop::collection::vec(0u64..500, 0..200),
                            b in prop::collection::vec(0u64..500, 0..200)) {
            let (mut set, mut twin) = (CookieSet::default(), BTreeSet::new());
            for cookie in &a {
                prop_assert_eq!(set.insert(*cookie), twin.insert(*cookie));
            }
            let mut other = CookieSet::default();
            for cookie in &b {
                other.insert(*cookie);
                twin.remove(cookie);
            }
            set.subtract(&other);
            set.add(&CookieSet::default());
            for cookie in 0..500 {
                prop_assert_eq!(set.contains(cookie), twin.contains(&cookie));
            }
            prop_assert_eq!(set.is_empty(), twin.is_empty());
        }
    }
}
