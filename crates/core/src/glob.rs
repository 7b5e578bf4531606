//! Names with `*` and `?`, over bytes: a process may call itself anything.

use alloc::vec::Vec;

/// A pattern in which `*` stands for any bytes and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<u8>);

impl Glob {
    /// Every text is a pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.as_bytes().to_vec())
    }

    /// The pattern itself.
    #[must_use]
    pub fn pattern(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has neither `*` nor `?`: it matches itself and nothing else.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.iter().any(|byte| matches!(byte, b'*' | b'?'))
    }

    /// Whether the whole name matches. Linear in the name for each `*`.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = &self.0[..];
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == b'?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => match star {
                    Some((at, from)) => {
                        star = Some((at, from + 1));
                        p = at + 1;
                        n = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names() {
        for (pattern, name, matches) in [
            ("redis-server", "redis-server", true),
            ("redis", "redis-server", false),
            ("redis*", "redis-server", true),
            ("*server", "redis-server", true),
            ("r*s*r", "redis-server", true),
            ("????", "java", true),
            ("???", "java", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbXbXd", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(name.as_bytes()),
                matches,
                "{pattern} {name}"
            );
        }
        assert!(Glob::new("x?y").matches(b"x\xffy"));
    }
}
