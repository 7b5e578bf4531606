//! Patterns of keys, as glob(7) has them.

use alloc::vec::Vec;

/// A pattern over bytes: `*`, `?`, `[a-z]`, `[!a]`, `[[:digit:]]`, and `\` before a character that is
/// meant as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// Every text is a pattern.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self(text.to_vec())
    }

    /// Whether the text holds one of the characters by which both programs tell a pattern from a key.
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
    }

    /// As glob(3) finds files: part by part between slashes.
    #[must_use]
    pub fn finds(&self, path: &[u8]) -> bool {
        let parts = |text: &'_ [u8]| text.split(|byte| *byte == b'/').count();
        parts(&self.0) == parts(path)
            && self
                .0
                .split(|byte| *byte == b'/')
                .zip(path.split(|byte| *byte == b'/'))
                .all(|(pattern, name)| matches(pattern, name))
    }

    /// As fnmatch(3) without flags compares texts: `*` runs over slashes too.
    #[must_use]
    pub fn covers(&self, text: &[u8]) -> bool {
        matches(&self.0, text)
    }
}

/// Linear in the text for each `*`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(length) = one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
            continue;
        }
        let Some((after, from)) = star else {
            return false;
        };
        star = Some((after, from + 1));
        (p, t) = (after, from + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The length of the pattern's first element if it stands for `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', inside @ ..] => match set(inside, byte) {
            Some((length, true)) => Some(length + 1),
            Some((_, false)) => None,
            // Without its end a bracket is a character like others.
            None => (byte == b'[').then_some(1),
        },
        [same, ..] => (*same == byte).then_some(1),
        [] => None,
    }
}

/// What follows `[`: its length with the closing bracket, and whether `byte` is in it.
fn set(inside: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(inside.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let mut found = false;
    let mut first = true;
    loop {
        let rest = inside.get(at..)?;
        match rest {
            [b']', ..] if !first => return Some((at + 1, found != negated)),
            [b'[', b':', name @ ..] => {
                let end = name.windows(2).position(|pair| pair == b":]")?;
                found |= class(&name[..end], byte);
                at += end + 4;
            }
            [low, b'-', high, ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                at += 3;
            }
            [b'\\', single, ..] => {
                found |= *single == byte;
                at += 2;
            }
            [single, ..] => {
                found |= *single == byte;
                at += 1;
            }
            [] => return None,
        }
        first = false;
    }
}

fn class(name: &[u8], byte: u8) -> bool {
    match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"lower" => byte.is_ascii_lowercase(),
        b"upper" => byte.is_ascii_uppercase(),
        b"punct" => byte.is_ascii_punctuation(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        b"graph" => byte.is_ascii_graphic(),
        b"print" => byte == b' ' || byte.is_ascii_graphic(),
        _ => false,
    }
}
