//! Text in a given number of columns.

/// How many columns a text takes on a terminal.
pub(crate) fn width(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    String::from_utf8_lossy(text).chars().map(char_width).sum()
}

/// East Asian wide characters take two columns, combining ones none. The ranges are the large ones
/// of Unicode's EastAsianWidth.txt: names of programs and units are the only texts concerned.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// What is cut off a text that does not fit; `…` stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The end.
    End,
    /// The beginning.
    Start,
    /// What stands before the last parenthesis: of `redis-server(812)+1` the name gives way.
    BeforeParenthesis,
}

/// Appends `text` in at most `columns` columns; returns how many it took.
pub(crate) fn cut(out: &mut Vec<u8>, text: &[u8], columns: usize, side: Cut) -> usize {
    let natural = width(text);
    if natural <= columns {
        out.extend_from_slice(text);
        return natural;
    }
    let Some(room) = columns.checked_sub(1) else {
        return 0;
    };
    let text = String::from_utf8_lossy(text);
    if side == Cut::BeforeParenthesis {
        let (name, tail) = text.split_at(text.rfind('(').unwrap_or(text.len()));
        let tail_width = width(tail.as_bytes());
        if tail_width > columns {
            return cut(out, tail.as_bytes(), columns, Cut::End);
        }
        let kept = cut(out, name.as_bytes(), columns - tail_width, Cut::End);
        out.extend_from_slice(tail.as_bytes());
        return kept + tail_width;
    }
    let mut taken = 0;
    let mut fits = |c: &char| {
        taken += char_width(*c);
        taken <= room
    };
    let kept: String = match side {
        Cut::End | Cut::BeforeParenthesis => text.chars().take_while(&mut fits).collect(),
        Cut::Start => {
            let tail: Vec<char> = text.chars().rev().take_while(&mut fits).collect();
            tail.into_iter().rev().collect()
        }
    };
    if side == Cut::Start {
        out.extend_from_slice("…".as_bytes());
    }
    out.extend_from_slice(kept.as_bytes());
    if side == Cut::End {
        out.extend_from_slice("…".as_bytes());
    }
    width(kept.as_bytes()) + 1
}

/// Appends spaces.
pub(crate) fn spaces(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
}

/// Breaks a sentence between words; lines after the first are indented.
pub(crate) fn wrap(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let needed = width(word.as_bytes());
        let line = lines.last_mut().expect("there is a first line");
        if used == 0 {
            line.push_str(word);
            used = needed;
        } else if used + 1 + needed <= columns {
            line.push(' ');
            line.push_str(word);
            used += 1 + needed;
        } else {
            lines.push(" ".repeat(indent) + word);
            used = indent + needed;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_told() {
        for (text, columns, side, kept, taken) in [
            ("redis-server", 12, Cut::End, "redis-server", 12),
            ("redis-server", 6, Cut::End, "redis…", 6),
            ("10.0.0.1:6379", 6, Cut::Start, "…:6379", 6),
            ("redis", 1, Cut::End, "…", 1),
            ("redis", 0, Cut::End, "", 0),
            ("数据库", 4, Cut::End, "数…", 3),
            ("redis(812)", 10, Cut::BeforeParenthesis, "redis(812)", 10),
            (
                "redis-server(812)+1",
                11,
                Cut::BeforeParenthesis,
                "red…(812)+1",
                11,
            ),
            ("f(1(812)", 7, Cut::BeforeParenthesis, "f…(812)", 7),
            ("redis(812)+1", 8, Cut::BeforeParenthesis, "…(812)+1", 8),
            ("redis(812)+1", 7, Cut::BeforeParenthesis, "(812)+1", 7),
            ("redis(812)+1", 6, Cut::BeforeParenthesis, "(812)…", 6),
            ("not-permitted", 9, Cut::BeforeParenthesis, "not-perm…", 9),
            ("数据库(812)", 8, Cut::BeforeParenthesis, "数…(812)", 8),
            ("数据库", 6, Cut::End, "数据库", 6),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                cut(&mut out, text.as_bytes(), columns, side),
                taken,
                "{text}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), kept);
        }
    }
}
