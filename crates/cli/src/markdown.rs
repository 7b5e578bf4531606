//! Shows the Markdown of our own pages on a terminal. They are written in lines of less than 80
//! columns, so lines stay as they are; marks give way to styles.

use anstyle::Style;

use crate::terminal::{self, Palette};

/// Appends a page.
pub(crate) fn render(out: &mut Vec<u8>, page: &str, palette: Palette) {
    let mut spans = Spans::default();
    let mut fenced = false;
    let mut before_blank = true;
    for line in page.lines() {
        let blank = line.trim().is_empty();
        if blank {
            // A paragraph ends whatever was left open.
            spans = Spans::default();
        }
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || (line.starts_with("    ") && before_blank) {
            palette.paint(out, terminal::COMMAND, line.as_bytes());
            out.push(b'\n');
            // The lines of a block of code follow each other.
            continue;
        } else if let Some(title) = line.strip_prefix('#') {
            let title = title.trim_start_matches('#').trim();
            palette.paint(out, terminal::BOLD, title.as_bytes());
            out.push(b'\n');
        } else {
            spans.line(out, line, palette);
            out.push(b'\n');
        }
        before_blank = blank;
    }
}

/// Which marks are open; they may be closed on a later line.
#[derive(Default)]
struct Spans {
    code: bool,
    strong: bool,
}

impl Spans {
    fn line(&mut self, out: &mut Vec<u8>, line: &str, palette: Palette) {
        let mut rest = line;
        while let Some(at) = rest.find(['`', '*']) {
            let (text, mark) = rest.split_at(at);
            palette.paint(out, self.style(), text.as_bytes());
            rest = if let Some(rest) = mark.strip_prefix('`') {
                self.code = !self.code;
                // Without colours the mark is what shows where a command ends.
                if palette == Palette::Plain {
                    out.push(b'`');
                }
                rest
            } else if let Some(rest) = mark.strip_prefix("**").filter(|_| !self.code) {
                self.strong = !self.strong;
                rest
            } else {
                let (star, rest) = mark.split_at(1);
                // `*word*` is stress; `tcp_keepalive_*` in code is a star.
                if self.code {
                    palette.paint(out, self.style(), star.as_bytes());
                }
                rest
            };
        }
        palette.paint(out, self.style(), rest.as_bytes());
    }

    const fn style(&self) -> Style {
        match (self.code, self.strong) {
            (true, _) => terminal::COMMAND,
            (false, true) => terminal::BOLD,
            (false, false) => Style::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(page: &str, palette: Palette) -> String {
        let mut out = Vec::new();
        render(&mut out, page, palette);
        String::from_utf8(out).unwrap()
    }

    const PAGE: &str = "# Title\n\nPlain *stress* **strong** `code_*\nmore` end.\n\n    sh -c x\n    y **\n\n- item\n    hangs\n";

    #[test]
    fn marks_give_way() {
        assert_eq!(
            rendered(PAGE, Palette::Plain),
            "Title\n\nPlain stress strong `code_*\nmore` end.\n\n    sh -c x\n    y **\n\n- item\n    hangs\n"
        );
    }

    #[test]
    fn styles_take_their_place() {
        let shown = rendered(PAGE, Palette::Ansi);
        assert!(shown.contains("\u{1b}[1mstrong\u{1b}[0m"));
        assert!(shown.contains("\u{1b}[36mmore\u{1b}[0m"));
        assert!(!shown.contains('`'));
    }
}
