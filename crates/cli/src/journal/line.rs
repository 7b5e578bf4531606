//! The lines of the journal.
//!
//! ```text
//! {"schema_version":1,"kind":"intent","id":7,"at":"2026-…Z","command":"…","undoes":[],"undoes_partly":[],"continues":null,"changes":[…]}
//! {"schema_version":1,"kind":"outcome","id":7,"at":"2026-…Z","outcomes":["done",…]}
//! ```

use serde_json::{Value as Json, json};
use sockpulse_core::NetnsId;
use sockpulse_core::change::{
    Change, NetnsKey, Record, Target, Transaction, Undoes, Value, sysctl_of,
};

use super::clock;

/// The version of the lines. A change of a kind that this version does not know needs a new one.
const VERSION: u64 = 1;

/// What is written where a change was made.
const DONE: &str = "done";

pub(super) fn intent(
    id: u64,
    at: u64,
    command: &str,
    undoes: &Undoes,
    continues: Option<u64>,
    changes: &[Change],
) -> String {
    json!({
        "schema_version": VERSION,
        "kind": "intent",
        "id": id,
        "at": clock::moment(at),
        "command": command,
        "undoes": undoes.wholly,
        "undoes_partly": undoes.partly,
        "continues": continues,
        "changes": changes.iter().map(of_change).collect::<Vec<_>>(),
    })
    .to_string()
}

pub(super) fn outcome(id: u64, at: u64, outcomes: &[Result<(), String>]) -> String {
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(()) => DONE.to_owned(),
            Err(why) => format!("failed: {why}"),
        })
        .collect();
    json!({
        "schema_version": VERSION,
        "kind": "outcome",
        "id": id,
        "at": clock::moment(at),
        "outcomes": outcomes,
    })
    .to_string()
}

/// A line that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread {
    /// Why.
    pub(super) why: &'static str,
    /// Its transaction: with one, something was done of which it is not known what.
    pub(super) id: Option<u64>,
}

/// Adds what the line says to the transactions before it, and tells which one it is about.
pub(super) fn read(line: &[u8], past: &mut Vec<Transaction>) -> Result<u64, Unread> {
    let unread = |why, id| Unread { why, id };
    let json: Json =
        serde_json::from_slice(line).map_err(|_| unread("breaks off or is no JSON", None))?;
    let id = json["id"].as_u64();
    match json["schema_version"].as_u64() {
        Some(VERSION) => {}
        Some(later) if later > VERSION => {
            let why = "was written by a later version: what it did is not known";
            return Err(unread(why, id));
        }
        _ => return Err(unread("is of a version that is not known", id)),
    }
    let known = id.ok_or_else(|| unread("has no id", None))?;
    let added = match json["kind"].as_str() {
        Some("intent") => match transaction(known, &json) {
            Some(transaction) => {
                past.push(transaction);
                Ok(())
            }
            None => Err("is not understood"),
        },
        Some("outcome") => conclude(known, &json, past),
        _ => Err("is of a kind that is not known"),
    };
    added.map(|()| known).map_err(|why| unread(why, id))
}

fn conclude(id: u64, json: &Json, past: &mut [Transaction]) -> Result<(), &'static str> {
    let transaction = past.iter_mut().rev().find(|one| one.id == id);
    let transaction = transaction.ok_or("is about a transaction that is not there")?;
    let outcomes = json["outcomes"].as_array().ok_or("has no outcomes")?;
    for (record, outcome) in transaction.records.iter_mut().zip(outcomes) {
        let outcome = outcome.as_str().ok_or("is not understood")?;
        record.outcome = Some(match outcome {
            DONE => Ok(()),
            why => Err(why.strip_prefix("failed: ").unwrap_or(why).to_owned()),
        });
    }
    Ok(())
}

fn transaction(id: u64, json: &Json) -> Option<Transaction> {
    let changes = json["changes"].as_array()?.iter();
    let records = changes.map(|change| {
        Some(Record {
            change: change_of(change)?,
            outcome: None,
        })
    });
    Some(Transaction {
        id,
        at: clock::seconds(json["at"].as_str()?)?,
        command: json["command"].as_str()?.to_owned(),
        undoes: Undoes {
            wholly: ids(&json["undoes"])?,
            partly: ids(&json["undoes_partly"])?,
        },
        continues: json["continues"].as_u64(),
        records: records.collect::<Option<_>>()?,
    })
}

fn ids(json: &Json) -> Option<Vec<u64>> {
    json.as_array()?.iter().map(Json::as_u64).collect()
}

/// A change as JSON, here and in what commands print.
pub(crate) fn of_change(change: &Change) -> Json {
    let mut json = match &change.target {
        Target::Sysctl { netns, sysctl } => json!({
            "target": "sysctl",
            "setting": sysctl.setting(),
            "key": sysctl.key(),
            "netns": netns.id.0,
            "netns_cookie": netns.cookie,
            "netns_name": netns.name,
            "host": netns.host,
            "boot": netns.boot,
        }),
        Target::PersistedFile { path } => json!({ "target": "file", "path": path }),
        Target::Connections { file, count } => {
            json!({ "target": "connections", "file": file, "count": count })
        }
        Target::Destroyed { file, count } => {
            json!({ "target": "destroyed", "file": file, "count": count })
        }
        Target::Pinned { file, count } => {
            json!({ "target": "pinned", "file": file, "count": count })
        }
        Target::Rules { pins } => json!({ "target": "rules", "pins": pins }),
        // What a later version adds is written by it.
        _ => json!({ "target": "unknown" }),
    };
    json["before"] = of_value(&change.before);
    json["after"] = of_value(&change.after);
    json["reason"] = change.reason.as_str().into();
    json
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::Absent => Json::Null,
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

fn change_of(json: &Json) -> Option<Change> {
    let target = match json["target"].as_str()? {
        "sysctl" => Target::Sysctl {
            netns: NetnsKey {
                id: NetnsId(u32::try_from(json["netns"].as_u64()?).ok()?),
                cookie: json["netns_cookie"].as_u64(),
                name: json["netns_name"].as_str()?.to_owned(),
                host: json["host"].as_bool()?,
                boot: json["boot"].as_str()?.to_owned(),
            },
            sysctl: sysctl_of(json["setting"].as_str()?)?,
        },
        "file" => Target::PersistedFile {
            path: json["path"].as_str()?.to_owned(),
        },
        "rules" => Target::Rules {
            pins: json["pins"].as_str()?.to_owned(),
        },
        "destroyed" => Target::Destroyed {
            file: json["file"].as_str()?.to_owned(),
            count: json["count"].as_u64()?,
        },
        "pinned" => Target::Pinned {
            file: json["file"].as_str()?.to_owned(),
            count: json["count"].as_u64()?,
        },
        "connections" => Target::Connections {
            file: json["file"].as_str()?.to_owned(),
            count: json["count"].as_u64()?,
        },
        _ => return None,
    };
    Some(Change {
        target,
        before: value_of(&json["before"])?,
        after: value_of(&json["after"])?,
        reason: json["reason"].as_str()?.to_owned(),
    })
}

fn value_of(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Absent),
        Json::Number(number) => number.as_i64().map(Value::Number),
        Json::String(text) => Some(Value::Text(text.clone())),
        _ => None,
    }
}
