//! What the journal needs of a machine: a clock, and the name of its boot.

use std::collections::BTreeMap;
use std::path::Path;

use sockpulse_bpf::Order;
use sockpulse_core::change::{Change, Target, Value};
use sockpulse_core::persisted::Tree;
use sockpulse_core::protect::Step;
use sockpulse_core::{Cookie, EffectiveTimers, Hz, NetnsId, Process};
use sockpulse_linux::Error;
use sockpulse_linux::rearm::NotRearmed;
use sockpulse_linux::set::{Expected, NotSet};

use crate::error::CommandError;
use crate::options::{NetnsChoice, SurveyOptions};
use crate::sink::{ChangeSink, Found, Hooks, InForce, Rules};
use crate::walk::Pacer;

/// Nothing can be changed with it.
pub(super) struct Clock;

impl ChangeSink for Clock {
    fn clock(&self) -> u64 {
        1_795_259_400
    }

    fn boot(&self) -> String {
        "5c9f".into()
    }

    fn namespaces(&mut self, _: &[NetnsChoice]) -> Result<Found, CommandError> {
        panic!("not under test")
    }

    fn tree(&self) -> Tree {
        panic!("not under test")
    }

    fn hz(&self) -> Option<Hz> {
        panic!("not under test")
    }

    fn now(&mut self, _: &Target) -> Result<Option<Value>, Error> {
        panic!("not under test")
    }

    fn check(&mut self, _: &Change) -> Result<(), Error> {
        panic!("not under test")
    }

    fn make(&mut self, _: &Change) -> Result<(), Error> {
        panic!("not under test")
    }

    fn set_socket(
        &mut self,
        _: Process,
        _: Cookie,
        _: &Expected,
        _: &Step,
    ) -> Result<EffectiveTimers, NotSet> {
        panic!("not under test")
    }

    fn may_walk(&mut self, _: &SurveyOptions) -> Result<bool, CommandError> {
        panic!("not under test")
    }

    fn walk(
        &mut self,
        _: &mut dyn ExactSizeIterator<Item = Order>,
        _: &BTreeMap<NetnsId, usize>,
        _: &mut dyn Pacer,
    ) -> Result<(), CommandError> {
        panic!("not under test")
    }

    fn rules(&mut self, _: &Path) -> Result<InForce, CommandError> {
        panic!("not under test")
    }

    fn check_rules(&mut self, _: &Hooks, _: &Rules) -> Result<(), CommandError> {
        panic!("not under test")
    }

    fn set_rules(&mut self, _: &Hooks, _: &Rules) -> Result<InForce, CommandError> {
        panic!("not under test")
    }

    fn rearm(&mut self, _: Process, _: Cookie) -> Result<(), NotRearmed> {
        panic!("not under test")
    }
}
