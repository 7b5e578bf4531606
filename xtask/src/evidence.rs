//! `cargo xtask evidence [--from FILE]`: runs every case of the lab, the slow ones too, and writes
//! docs/evidence.md from what `sockpulse lab all --slow -o json` says. With a file it only writes the
//! page, from such a document.

use std::fmt::Write as _;
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;
use sockpulse_lab::{Scenario, table};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

const PAGE: &str = "docs/evidence.md";

/// Runs `evidence WORDS`.
///
/// # Errors
/// [`Error::Exit`] when the lab could not run; [`Error::Answer`] when its answer is no evidence;
/// [`Error::Unexpected`] when something was not as predicted, behind writing the page.
pub(crate) fn run(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    let text = match words {
        [] => measured(interrupt)?,
        ["--from", file] => std::fs::read_to_string(file).map_err(Error::file("read", *file))?,
        _ => {
            let words = format!("evidence {}", words.join(" "));
            return Err(Error::UnknownCommand(words));
        }
    };
    let evidence: Value = serde_json::from_str(&text).map_err(|error| Error::Answer {
        program: "sockpulse lab".into(),
        line: error.to_string(),
    })?;
    let page = page(&evidence, &today()?);
    let path = process::workspace().join(PAGE);
    std::fs::write(&path, page).map_err(Error::file("write", &path))?;
    println!("wrote {PAGE}");
    match evidence["failed"].as_u64() {
        Some(0) => Ok(ExitCode::SUCCESS),
        failed => Err(Error::Unexpected(format!(
            "{} cases are not as predicted; {PAGE} names them",
            failed.map_or("some".into(), |failed| failed.to_string())
        ))),
    }
}

/// Builds sockpulse and runs the whole lab, which takes about a quarter of an hour.
fn measured(interrupt: &Interrupt) -> Result<String> {
    let mut build = process::cargo(["build", "--locked", "--package", "sockpulse-cli"]);
    println!("$ {}", process::typed(&build));
    process::run(&mut build, interrupt)?;
    let program = process::target_directory()?.join("debug/sockpulse");
    let mut lab = Command::new(program);
    lab.args(["lab", "all", "--slow", "-o", "json"]);
    println!("$ sockpulse lab all --slow -o json");
    let child = process::spawn(lab.stdout(Stdio::piped()))?;
    let output = child
        .wait_with_output()
        .map_err(Error::system("wait for the lab"))?;
    interrupt.check()?;
    // Status 1 says that something was not as predicted: that is evidence too.
    if output.status.code() != Some(1) {
        process::expect_success(&lab, output.status)?;
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The date of what is measured now.
pub(crate) fn today() -> Result<String> {
    let date = process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(date.trim().to_owned())
}

fn page(evidence: &Value, date: &str) -> String {
    let runs = evidence["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let (hours, cases): (Vec<&Value>, Vec<&Value>) = runs
        .iter()
        .partition(|run| run.get("connections").is_some());
    let holds = cases.iter().filter(|run| run["verdict"] == "holds").count();
    let mut page = format!(
        "# Evidence\n\n\
         <!-- Written by `cargo xtask evidence` from what was measured: do not edit. -->\n\n\
         What the model says, held against the kernel: {} cases with real sockets in network\n\
         namespaces, of which {holds} went as predicted. Measured on {date}, Linux {}, {} ticks\n\
         a second, by `sockpulse lab all --slow`.\n\n\
         A case holds when read() returned the predicted error within the predicted window: not more\n\
         than 5 ms before the earliest moment (rounding of clocks), and not more than 60 ms behind the\n\
         latest (the time until a waiting program runs). Where a connection is to stay, it was watched\n\
         for the time given. `{SETTINGS}` are idle, interval and probes; `-` is inherited. Times count\n\
         from the last segment of the peer; with data in flight from write(), with a closed window\n\
         from its closing, in a handshake from connect().\n\n\
         `sockpulse lab NAME` repeats one with its timeline; see [what happens when a peer\n\
         dies](concepts/when-a-peer-dies.md). What `ping` and `reap` say of thousands of living and dead\n\
         connections is held against the truth in the [soak](soak.md).\n\n## Cases\n\n{HEADING}",
        cases.len(),
        version(word(&evidence["machine"]["kernel"])),
        evidence["machine"]["hz"],
    );
    for run in &cases {
        page += &row(run);
    }
    for hour in hours {
        page += &compressed(hour);
    }
    page += TWINS;
    for scenario in table::all().filter(|scenario| scenario.twin_of.is_some()) {
        page += &twin(scenario, &cases);
    }
    page
}

const SETTINGS: &str = "2/1/3";
const HEADING: &str = "\
| case | fault | predicted, s | measured, s | ending | |\n|---|---|---|---|---|---|\n";

const TWINS: &str = "\n## Twins of public experiments\n\n\
In 2019 Marek Majkowski published eight experiments on how long Linux keeps TCP sockets, with scripts:\n\
[When TCP sockets refuse to die](https://blog.cloudflare.com/when-tcp-sockets-refuse-to-die/),\n\
[scripts](https://github.com/cloudflare/cloudflare-blog/tree/master/2019-09-tcp-keepalives). Ours are\n\
written anew, with a router in between; what is reported is told in our words.\n";

fn row(run: &Value) -> String {
    let predicted = &run["predicted"];
    let window = match (
        predicted["earliest_s"].as_f64(),
        predicted["latest_s"].as_f64(),
    ) {
        (Some(from), Some(to)) if (from - to).abs() < 0.000_5 => format!("{from:.3}"),
        (Some(from), Some(to)) => format!("{from:.3} to {to:.3}"),
        _ => word(&predicted["ending"]).to_owned(),
    };
    let verdict = match run["why"].as_str() {
        None => "holds".to_owned(),
        Some(why) => format!("**differs**: {why}"),
    };
    format!(
        "| {} | {} | {window} | {:.3} | {} | {verdict} |\n",
        word(&run["title"]),
        word(&run["fault"]),
        run["measured"]["after_s"].as_f64().unwrap_or(f64::NAN),
        word(&run["measured"]["ending"]),
    )
}

fn compressed(hour: &Value) -> String {
    let predicted = &hour["predicted"];
    format!(
        "\n## An hour of random loss, sixty times as fast\n\n\
         {} healthy connections with 1/1/{} for a minute (an hour of 60/60/{1}), each packet lost with\n\
         probability {}, each way: a probe stays unanswered with 1 - (1 - p)^2, and as many in a row\n\
         as there are probes end a connection. Predicted: {} to {} false deaths in 99.9 % of such hours,\n\
         {} on average with exact timers. Measured: {}. Verdict: {}.\n",
        hour["connections"],
        hour["probes"],
        hour["loss"],
        predicted["least"],
        predicted["most"],
        predicted["mean"],
        hour["measured"]["deaths"],
        word(&hour["verdict"]),
    )
}

fn twin(scenario: &Scenario, cases: &[&Value]) -> String {
    let Some(twin) = scenario.twin_of else {
        return String::new();
    };
    let mut text = format!(
        "\n### {} ({})\n\nReported: {}\n\nHere: {}\n\n{HEADING}",
        scenario.name, twin.script, twin.reported, twin.ours
    );
    for run in cases.iter().filter(|run| run["name"] == scenario.name) {
        // Writing to a string does not fail.
        let _ = write!(text, "{}", row(run));
    }
    text
}

/// The release without what a builder appended to it.
pub(crate) fn version(release: &str) -> &str {
    release.split('-').next().unwrap_or(release)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_was_measured_and_where() {
        let evidence: Value = serde_json::from_str(
            r#"{"schema_version": 1, "failed": 1,
                "machine": {"kernel": "6.18.44-local", "hz": 250, "rights": "own"},
                "runs": [
                  {"name": "vanish", "title": "vanish 2/1/3", "fault": "drops", "verdict": "holds",
                   "why": null, "measured": {"ending": "ETIMEDOUT", "after_s": 5.08},
                   "predicted": {"ending": "ETIMEDOUT", "earliest_s": 5.0, "latest_s": 5.128}},
                  {"name": "reset", "title": "reset off", "fault": "none", "verdict": "differs",
                   "why": "it was to stay", "measured": {"ending": "ECONNRESET", "after_s": 1.0},
                   "predicted": {"ending": "stays"}},
                  {"name": "lossy-hour", "connections": 1000, "probes": 8, "loss": 0.3,
                   "verdict": "holds", "measured": {"deaths": 108},
                   "predicted": {"least": 77, "mean": 114.1, "most": 150}}]}"#,
        )
        .expect("JSON");
        let page = page(&evidence, "2026-11-21");
        for part in [
            "2 cases with real sockets",
            "of which 1 went as predicted",
            "Measured on 2026-11-21, Linux 6.18.44, 250 ticks\na second",
            "| vanish 2/1/3 | drops | 5.000 to 5.128 | 5.080 | ETIMEDOUT | holds |",
            "| reset off | none | stays | 1.000 | ECONNRESET | **differs**: it was to stay |",
            "Predicted: 77 to 150 false deaths",
            "Measured: 108. Verdict: holds.",
            "### user-timeout-idle (test-idle.py)",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
