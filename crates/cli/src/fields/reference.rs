//! The reference of fields, generated so that it cannot be wrong.

use std::fmt::Write as _;

use super::FIELDS;

/// A Markdown page with every field.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "# Fields of a connection\n\n\
         <!-- Generated from the registry of fields: do not edit. -->\n\n\
         `name` is what `sockpulse list --columns` and `--sort` take and the heading in CSV; `JSON` \
         is the path in one connection of `list -o json` and `-o jsonl`. What cannot be known is \
         `null` in JSON, empty in CSV and `?` in a table; what a connection does not have is `null`, \
         empty and `-`.\n\n\
         | name | column | JSON | what it is |\n|---|---|---|---|\n",
    );
    for field in FIELDS {
        let json = match field.json {
            "" => String::from("(table only)"),
            path => format!("`{path}`"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {json} | {} |",
            field.name, field.title, field.doc
        );
    }
    page.push_str(
        "\nJSON has these besides: `timers.keepalive` and `timers.retransmission`, each with `kind` \
         and `expires_ms` (`kind` is `none` when the timer does not run; the whole is `null` when it \
         was not seen), and `owner.processes`, a list with `pid`, `fd` and `program` of each process \
         when several hold the socket.\n",
    );
    page
}
