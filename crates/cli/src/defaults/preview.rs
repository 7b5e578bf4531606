//! Whom defaults would reach that are not set: connections judged by what is wished for.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sockpulse_core::change::Wish;
use sockpulse_core::{Hz, Namespace, NetnsId, Target, assess};

use super::args::SetArgs;
use super::impact::{Impact, Remember};
use super::rearm::Unseen;
use super::{DocumentOrText, survey_options};
use crate::coverage::counted;
use crate::error::Exit;
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::row::Row;
use crate::sink::Found;

/// The namespaces as they would be.
#[derive(Debug)]
pub(super) struct Preview {
    namespaces: BTreeMap<NetnsId, Namespace>,
    hz: Option<Hz>,
}

impl Preview {
    pub(super) fn new(found: &Found, wish: &Wish, hz: Option<Hz>) -> Self {
        let namespaces = found.namespaces.iter().map(|one| {
            let mut namespace = one.namespace.clone();
            namespace.defaults = namespace.defaults.map(|had| wish.over(&had));
            (one.key.id, namespace)
        });
        Self {
            namespaces: namespaces.collect(),
            hz,
        }
    }

    /// Counts and says it.
    pub(super) fn tell(
        &self,
        args: &SetArgs,
        netns: &[NetnsChoice],
        machine: &Machine,
        report: &mut DocumentOrText<'_>,
    ) -> Exit {
        report.field("impact", Json::Null);
        report.field("rearm", Json::Null);
        let mut impact = Impact::default();
        let options = survey_options(netns);
        let target = Target {
            detect_within: options.detect_within,
            hz: self.hz,
        };
        let surveyed = (machine.survey)(&options, &mut |row| {
            self.add(row, &target, &mut impact);
            Ok(())
        });
        let coverage = match surveyed {
            Ok(surveyed) => surveyed.coverage,
            Err(error) => {
                report.warn(format!("note: connections could not be read: {error}"));
                return if args.rearm {
                    Exit::Partial
                } else {
                    Exit::Done
                };
            }
        };
        report.lines(impact.kinds());
        report.field("impact", impact.json());
        if args.rearm {
            return rearm(&impact, &Unseen::of(&impact, &coverage), report);
        }
        report.lines(impact.would_wait());
        Exit::Done
    }

    fn add(&self, row: &Row<'_>, target: &Target, impact: &mut Impact) {
        let Some(namespace) = self.namespaces.get(&row.connection.id.netns) else {
            impact.add(row, Remember::Waiting);
            return;
        };
        let assessment = assess(row.connection, Some(namespace), target);
        let row = Row {
            assessment: &assessment,
            namespace: Some(namespace),
            ..*row
        };
        impact.add(&row, Remember::Waiting);
    }
}

/// What `--rearm` would do, with the exit status that it would end with.
fn rearm(impact: &Impact, unseen: &Unseen, report: &mut DocumentOrText<'_>) -> Exit {
    let count = |owned: bool| {
        let waiting = impact.waiting.iter();
        let these = waiting.filter(|one| one.process.is_some() == owned);
        u64::try_from(these.count()).unwrap_or(u64::MAX)
    };
    let (within, out) = (count(true), count(false));
    report.say(match within {
        0 if unseen.connections > 0 => "no timer was seen that would be armed anew".into(),
        0 => "no timer would be armed anew".into(),
        n => format!("{} would be armed anew", counted(n, "timer")),
    });
    if out > 0 {
        report.say(format!(
            "{} would be left: no process is known to hold the connection",
            counted(out, "timer")
        ));
    }
    report.field(
        "rearm",
        json!({ "asked": within + out, "out_of_reach": out, "unknown": unseen.connections }),
    );
    unseen.tell(report);
    if out + unseen.connections > 0 {
        Exit::Partial
    } else {
        Exit::Done
    }
}
