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
    page.push_str("\n## Documents of `defaults` and `undo`\n\n");
    page.push_str(
        "Every document has `schema_version`. `NS` is one of `namespaces[]`, and a line of `-o jsonl`; \
         a value that is not known, or has no meaning there, is `null`.\n\n\
         | command | JSON | what it is |\n|---|---|---|\n",
    );
    for (command, json, doc) in DOCUMENTS {
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {command} | `{json}` | {doc} |");
    }
    page
}

/// The keys of what commands about defaults print.
const DOCUMENTS: [(&str, &str, &str); 22] = [
    (
        "`defaults`",
        "NS.netns, .name, .own, .host, .pid",
        "which namespace; `host`: that of process 1",
    ),
    (
        "`defaults`",
        "NS.idle_s, .interval_s, .probes",
        "what holds now",
    ),
    (
        "`defaults`",
        "NS.detects_after_s",
        "when a dead peer is noticed; `null` for never",
    ),
    (
        "`defaults`",
        "NS.warnings[]",
        "what harms in these values, a sentence each",
    ),
    (
        "`defaults`",
        "NS.persisted.idle, .interval, .probes",
        "of the host: `value`, `file`, `line` and `text` of the line that wins at boot; `null` where no \
         file sets it; `procps` beside it where `sysctl --system` ends with another line",
    ),
    (
        "`defaults`",
        "NS.drift[]",
        "of the host: `setting`, `now`, `at_boot`",
    ),
    (
        "`defaults --impact`",
        "NS.impact",
        "connections: `follow`, `follow_in_part`, `own_values`, `origin_unknown`, `never_asked`, \
         `local`, `unknown`; `armed_before`: those that wait for an older timer, the last for \
         `armed_before_latest_ms`",
    ),
    (
        "`defaults`",
        "problems[]",
        "what is wrong with files, a sentence each",
    ),
    (
        "`defaults`",
        "gaps[]",
        "what was not seen: `what`, `why`, `remedy`",
    ),
    (
        "`set`, `reset`, `undo`",
        "dry_run",
        "whether nothing was changed",
    ),
    (
        "`set`, `reset`, `undo`",
        "would_fail",
        "of a dry run: why it could not be done",
    ),
    (
        "`set`, `reset`, `undo`",
        "id",
        "the number in the journal; not of a dry run",
    ),
    (
        "`set`, `reset`, `undo`",
        "changes[]",
        "`target` is `sysctl` (with `key`, `setting`, `netns`, `netns_name`, `netns_cookie`, `host`, \
         `boot`) or `file` (with `path`); `before`, `after` (`null`: no file), `reason`",
    ),
    (
        "`set`, `reset`, `undo`",
        "changes[].outcome",
        "`done`, `{\"failed\": WHY}`, or `null` where it was not tried",
    ),
    (
        "`set`",
        "warnings[]",
        "what harms in the values asked for, a sentence each",
    ),
    (
        "`set --persist`",
        "overridden[]",
        "lines that win all the same: `program`, `file`, `line`, `key`, `text`, `value`; `wanted` is ours",
    ),
    (
        "`set`",
        "impact",
        "as `NS.impact`, of all namespaces together",
    ),
    (
        "`set --rearm`",
        "rearm",
        "timers: `asked`, `done`, `changed`, `out_of_reach`, `not_permitted`, `failed`, \
         `unknown`, `stopped`; of a dry run \
         `asked`, `out_of_reach` and `unknown`",
    ),
    (
        "`reset`, `undo`",
        "left[]",
        "what is not put back: `what`, `why`",
    ),
    (
        "`undo --list`",
        "transactions[]",
        "`id`, `at`, `age_s`, `command`, `changes`; `undone`; `undoes` and `undoes_partly`: ids that it \
         takes back",
    ),
    (
        "`undo --list`",
        "transactions[].changes[]",
        "as `changes[]`",
    ),
    ("all", "schema_version", "1"),
];
