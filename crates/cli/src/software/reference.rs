//! The reference page: what each software can express.

use std::fmt::Write as _;

use super::{About, Software};

/// `docs/reference/software.md`.
#[must_use]
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Software\n\n\
         <!-- Generated from crates/cli/src/software: do not edit. -->\n\n\
         What `plan --for NAME` can write down, and what each software does when nothing \
         is configured.\n\
         A dash: it cannot be expressed there, and the kernel's default stays. The recipe says what \
         then results.\n\n\
         | name | software | idle | interval | probes | user timeout | by itself |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for software in Software::ALL {
        // Writing to a string does not fail.
        let _ = writeln!(page, "{}", row(software.about()));
    }
    page
}

fn row(about: &About) -> String {
    let mut names = format!("`{}`", about.name);
    for alias in about.aliases {
        names.push_str(&format!(", `{alias}`"));
    }
    let cells = about
        .expresses
        .map(|cell| if cell.is_empty() { "-" } else { cell });
    format!(
        "| {names} | {} | {} | {} |",
        about.title,
        cells.join(" | "),
        about.by_itself
    )
}
