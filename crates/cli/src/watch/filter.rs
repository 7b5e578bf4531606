//! Which events are told of: those of the connections that are meant.

use sockpulse_core::event::Opener;
use sockpulse_core::{Assessment, Hz, Namespace, Process, Selector, Target, assess};

use super::args::WatchArgs;
use super::source::Occurrence;
use super::view::View;
use crate::row::Row;

/// The selectors, held against every event: the kernel looks at some of them only. Namespaces are
/// left to where events come from.
pub(super) struct Filter {
    selector: Selector,
    target: Target,
}

impl Filter {
    pub(super) fn new(args: &WatchArgs, hz: Option<Hz>) -> Self {
        let options = args.survey.options();
        Self {
            selector: options.selector,
            target: Target {
                detect_within: options.detect_within,
                hz,
            },
        }
    }

    /// Gives the event with all that is known around it to `tell`, if it is meant.
    pub(super) fn pass(
        &self,
        occurrence: &Occurrence,
        namespaces: &[Namespace],
        tell: impl FnOnce(&View<'_>),
    ) {
        let connection = &occurrence.event.connection;
        let id = connection.id.netns;
        let namespace = namespaces.iter().find(|namespace| namespace.id == id);
        let assessment = assess(connection, namespace, &self.target);
        if !self.matches(occurrence, &assessment) {
            return;
        }
        tell(&View {
            event: &occurrence.event,
            row: Row {
                connection,
                assessment: &assessment,
                place: &occurrence.place,
                namespace,
            },
        });
    }

    fn matches(&self, occurrence: &Occurrence, assessment: &Assessment) -> bool {
        let Occurrence { event, place } = occurrence;
        let connection = &event.connection;
        let exposure = assessment.exposure;
        match event.opener.map(Opener::program) {
            // A program that is known without its descriptor counts like one that holds it.
            Some(program) if connection.owner.processes.is_empty() => {
                let mut connection = connection.clone();
                connection.owner.processes.push(Process {
                    pid: program.pid,
                    fd: 0,
                    comm: program.comm,
                });
                self.selector.matches(&connection, place, exposure)
            }
            _ => self.selector.matches(connection, place, exposure),
        }
    }
}
