//! Drawings in SVG: a few shapes, one set of inks, light or dark as the reader's system is.
//!
//! Colours stand in classes as plain values and are given again within
//! `@media (prefers-color-scheme: dark)`: programs that know neither custom properties nor media
//! queries, of which there are many, draw the light picture. No scripts, no fonts from elsewhere.

use std::fmt::Write as _;

/// Where something is: to the right and downwards from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A point.
pub(crate) const fn at(x: f64, y: f64) -> Point {
    Point { x, y }
}

/// Which end of a text stands at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The text goes to the right.
    Start,
    /// The point is in the middle.
    Middle,
    /// The text ends here.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// What a shape is drawn with; each ink has a light and a dark value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// The ground.
    Paper,
    /// What is to be read first.
    Text,
    /// What matters less.
    Faint,
    /// Axes.
    Rule,
    /// Lines that guide the eye.
    Grid,
    /// What is sent; the first of several series.
    Blue,
    /// What asks for attention; the second series.
    Amber,
    /// Where a connection is given up.
    Red,
    /// What is well.
    Green,
}

impl Ink {
    const ALL: [Self; 9] = [
        Self::Paper,
        Self::Text,
        Self::Faint,
        Self::Rule,
        Self::Grid,
        Self::Blue,
        Self::Amber,
        Self::Red,
        Self::Green,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Text => "text",
            Self::Faint => "faint",
            Self::Rule => "rule",
            Self::Grid => "grid",
            Self::Blue => "blue",
            Self::Amber => "amber",
            Self::Red => "red",
            Self::Green => "green",
        }
    }

    /// On light ground and on dark. Inks of texts keep a contrast of 4.5 to 1 on both.
    const fn colors(self) -> (&'static str, &'static str) {
        match self {
            Self::Paper => ("#ffffff", "#12161c"),
            Self::Text => ("#1c2430", "#e4e9f0"),
            Self::Faint => ("#5a6675", "#9aa6b5"),
            Self::Rule => ("#8a95a3", "#6b7684"),
            Self::Grid => ("#dfe4ea", "#2c343f"),
            Self::Blue => ("#1f5fbf", "#6aa5ff"),
            Self::Amber => ("#8f5b00", "#e0a63a"),
            Self::Red => ("#b8232f", "#ff7b7b"),
            Self::Green => ("#1d7044", "#56c48a"),
        }
    }
}

/// How a shape looks: an ink and how it is laid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    class: &'static str,
    ink: Ink,
    more: &'static str,
}

impl Look {
    /// A line of usual width.
    pub(crate) const fn stroke(ink: Ink) -> Self {
        Self::new("stroke", ink)
    }

    /// An area filled in full.
    pub(crate) const fn fill(ink: Ink) -> Self {
        Self::new("fill", ink)
    }

    /// An area that what stands below shines through.
    pub(crate) const fn wash(ink: Ink) -> Self {
        Self::new("wash", ink)
    }

    const fn new(class: &'static str, ink: Ink) -> Self {
        let more = "";
        Self { class, ink, more }
    }

    /// A broken line.
    pub(crate) const fn dashed(mut self) -> Self {
        self.more = " dashed";
        self
    }

    /// A wide line, or bold text.
    pub(crate) const fn strong(mut self) -> Self {
        self.more = " strong";
        self
    }

    /// Smaller text.
    pub(crate) const fn small(mut self) -> Self {
        self.more = " small";
        self
    }

    /// The text on top.
    pub(crate) const fn heading(mut self) -> Self {
        self.more = " heading";
        self
    }
}

/// Sizes of text, in the drawing's own units.
pub(crate) const TEXT_SIZE: f64 = 13.0;
/// Of [`Look::small`] text.
pub(crate) const SMALL_SIZE: f64 = 11.5;
/// Of [`Look::heading`] text.
pub(crate) const HEADING_SIZE: f64 = 17.0;

/// Roughly how wide a text is. Which font draws it is not known here: this is what a wide one takes.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|c| match c {
            ' ' | '.' | ',' | ':' | ';' | '\'' | 'i' | 'j' | 'l' | '|' | '(' | ')' | '/' => 0.36,
            'f' | 't' | 'r' | 'I' | '-' => 0.42,
            'm' | 'w' | 'M' | 'W' | '@' | '…' => 0.96,
            c if c.is_ascii_uppercase() => 0.72,
            c if c.is_ascii() => 0.62,
            _ => 0.85,
        })
        .sum();
    ems * size
}

/// A drawing that is being made. What comes later lies above.
#[derive(Debug)]
pub(crate) struct Drawing {
    width: f64,
    title: String,
    description: String,
    body: String,
    depth: usize,
}

impl Drawing {
    /// An empty drawing of this width. The title and the description are for those who cannot see
    /// it: a screen reader reads them.
    pub(crate) fn new(width: f64, title: &str, description: &str) -> Self {
        Self {
            width,
            title: title.into(),
            description: description.into(),
            body: String::new(),
            depth: 1,
        }
    }

    /// Draws several shapes that belong together, moved to `origin`.
    pub(crate) fn group(&mut self, origin: Point, draw: impl FnOnce(&mut Self)) {
        let transform = format!(
            "translate({} {})",
            Coordinate(origin.x),
            Coordinate(origin.y)
        );
        self.open(&format!("<g transform=\"{transform}\">"));
        self.depth += 1;
        draw(self);
        self.depth -= 1;
        self.open("</g>");
    }

    /// A straight line.
    pub(crate) fn line(&mut self, look: Look, from: Point, to: Point) {
        self.element(
            "line",
            look,
            &[("x1", from.x), ("y1", from.y), ("x2", to.x), ("y2", to.y)],
        );
    }

    /// A rectangle from its upper left corner.
    pub(crate) fn rect(&mut self, look: Look, corner: Point, width: f64, height: f64) {
        let size = [("width", width.max(0.0)), ("height", height.max(0.0))];
        self.element(
            "rect",
            look,
            &[("x", corner.x), ("y", corner.y), size[0], size[1]],
        );
    }

    /// A dot.
    pub(crate) fn circle(&mut self, look: Look, center: Point, radius: f64) {
        self.element(
            "circle",
            look,
            &[("cx", center.x), ("cy", center.y), ("r", radius)],
        );
    }

    /// Straight lines from point to point.
    pub(crate) fn polyline(&mut self, look: Look, points: &[Point]) {
        self.points("polyline", look, points);
    }

    /// A closed shape with straight sides.
    pub(crate) fn polygon(&mut self, look: Look, points: &[Point]) {
        self.points("polygon", look, points);
    }

    /// One line of text, whose baseline goes through the point.
    pub(crate) fn text(&mut self, look: Look, point: Point, anchor: Anchor, text: &str) {
        let Look { class, ink, more } = look;
        let (x, y) = (Coordinate(point.x), Coordinate(point.y));
        let anchor = match anchor {
            Anchor::Start => String::new(),
            other => format!(" text-anchor=\"{}\"", other.name()),
        };
        let (ink, text) = (ink.name(), escaped(text));
        self.open(&format!(
            "<text class=\"{class}-{ink}{more}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>"
        ));
    }

    /// The document, this high.
    pub(crate) fn finish(self, height: f64) -> String {
        let (width, height) = (Coordinate(self.width), Coordinate(height));
        let (title, description) = (escaped(&self.title), escaped(&self.description));
        let (style, body) = (style(), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             \x20 <title id=\"title\">{title}</title>\n\
             \x20 <desc id=\"desc\">{description}</desc>\n\
             \x20 <style>\n{style}  </style>\n\
             \x20 <rect class=\"fill-paper\" width=\"{width}\" height=\"{height}\"/>\n\
             {body}</svg>\n"
        )
    }

    fn element(&mut self, name: &str, look: Look, attributes: &[(&str, f64)]) {
        let Look { class, ink, more } = look;
        let mut text = format!("<{name} class=\"{class}-{}{more}\"", ink.name());
        for (attribute, value) in attributes {
            // Writing to a string does not fail.
            let _ = write!(text, " {attribute}=\"{}\"", Coordinate(*value));
        }
        text.push_str("/>");
        self.open(&text);
    }

    fn points(&mut self, name: &str, look: Look, points: &[Point]) {
        let Look { class, ink, more } = look;
        let pairs: Vec<String> = points
            .iter()
            .map(|point| format!("{},{}", Coordinate(point.x), Coordinate(point.y)))
            .collect();
        let (ink, pairs) = (ink.name(), pairs.join(" "));
        self.open(&format!(
            "<{name} class=\"{class}-{ink}{more}\" points=\"{pairs}\"/>"
        ));
    }

    fn open(&mut self, line: &str) {
        let indent = self.depth * 2;
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{:indent$}{line}", "");
    }
}

/// The style sheet: every ink three ways, and the sizes of text.
fn style() -> String {
    let inks = |color: fn((&'static str, &'static str)) -> &'static str, indent: &str| {
        let mut rules = String::new();
        for ink in Ink::ALL {
            let (name, color) = (ink.name(), color(ink.colors()));
            // Writing to a string does not fail.
            let _ = writeln!(
                rules,
                "{indent}.stroke-{name} {{ stroke: {color} }} \
                 .fill-{name}, .wash-{name} {{ fill: {color} }}"
            );
        }
        rules
    };
    let (light, dark) = (inks(|c| c.0, "    "), inks(|c| c.1, "      "));
    let strokes = classes("stroke");
    let washes = classes("wash");
    format!(
        "    text {{ font: {TEXT_SIZE}px system-ui, \"Segoe UI\", \"DejaVu Sans\", sans-serif; \
         font-variant-numeric: tabular-nums }}\n\
         \x20   text.strong {{ font-weight: 600 }}\n\
         \x20   text.small {{ font-size: {SMALL_SIZE}px }}\n\
         \x20   text.heading {{ font-size: {HEADING_SIZE}px; font-weight: 600 }}\n\
         \x20   {strokes} {{ fill: none; stroke-width: 1.5; stroke-linejoin: round }}\n\
         \x20   {washes} {{ fill-opacity: 0.16 }}\n\
         \x20   .strong {{ stroke-width: 2.5 }}\n\
         \x20   .dashed {{ stroke-dasharray: 4 4 }}\n\
         {light}    @media (prefers-color-scheme: dark) {{\n{dark}    }}\n"
    )
}

fn classes(prefix: &str) -> String {
    let names: Vec<String> = Ink::ALL
        .iter()
        .map(|ink| format!(".{prefix}-{}", ink.name()))
        .collect();
    names.join(", ")
}

/// A number with at most one decimal: a tenth of a pixel is finer than anybody sees.
struct Coordinate(f64);

impl std::fmt::Display for Coordinate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.1}", self.0);
        let text = text.strip_suffix(".0").unwrap_or(&text);
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// Text for an element or an attribute. Control characters are not allowed in XML at all, and those
/// that turn the direction of writing would mislead.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if crate::append::misleading(c) => out.extend(c.escape_default()),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        let mut drawing = Drawing::new(400.0, "A <title>", "What it \"shows\" & why");
        drawing.text(
            Look::fill(Ink::Text).heading(),
            at(10.0, 24.0),
            Anchor::Start,
            "evil\u{1b}[2J</text><script>",
        );
        drawing.group(at(10.0, 40.25), |drawing| {
            drawing.line(Look::stroke(Ink::Rule), at(0.0, 0.0), at(380.0, -0.04));
            drawing.rect(Look::wash(Ink::Red), at(20.0, 5.0), 30.0, -1.0);
            drawing.circle(Look::fill(Ink::Blue), at(40.0, 50.0), 3.5);
            drawing.polyline(
                Look::stroke(Ink::Amber).dashed(),
                &[at(0.0, 1.0), at(2.25, 3.0)],
            );
            drawing.polygon(Look::fill(Ink::Green), &[at(0.0, 1.0), at(2.0, 3.0)]);
            drawing.text(
                Look::fill(Ink::Faint).small(),
                at(5.0, 5.0),
                Anchor::End,
                "small",
            );
            drawing.text(
                Look::fill(Ink::Red).strong(),
                at(5.0, 9.0),
                Anchor::Middle,
                "strong",
            );
        });
        drawing.finish(100.0)
    }

    #[test]
    fn a_document_is_whole() {
        insta::assert_snapshot!(sample());
    }

    #[test]
    fn nothing_from_outside_becomes_markup_and_nothing_is_loaded() {
        let text = sample();
        for forbidden in ["<script", "\u{1b}", "url(", "@import", "@font-face", "href"] {
            assert!(!text.contains(forbidden), "{forbidden}: {text}");
        }
    }

    /// WCAG's contrast of two colours.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |color: &str| {
            let part = |at: usize| {
                let value = u8::from_str_radix(&color[at..at + 2], 16).unwrap();
                let value = f64::from(value) / 255.0;
                if value <= 0.04045 {
                    value / 12.92
                } else {
                    ((value + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn texts_can_be_read_on_light_and_dark_ground() {
        let (light, dark) = Ink::Paper.colors();
        for ink in Ink::ALL {
            if matches!(ink, Ink::Paper | Ink::Rule | Ink::Grid) {
                continue;
            }
            let (on_light, on_dark) = ink.colors();
            assert!(contrast(on_light, light) >= 4.5, "{ink:?} on light");
            assert!(contrast(on_dark, dark) >= 4.5, "{ink:?} on dark");
        }
    }

    #[test]
    fn longer_texts_are_wider() {
        assert!(text_width("given up", 12.0) < text_width("given up after", 12.0));
        assert!(text_width("", 12.0) == 0.0);
    }
}
