//! Runs many trials side by side.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::report::Report;
use crate::run::run;
use crate::trial::Trial;

/// Runs the trials, so many at once, those that come first first, and hands each report to `each` as
/// it comes, with the number of its trial.
pub fn run_many(
    trials: &[Trial],
    at_once: NonZeroUsize,
    mut each: impl FnMut(usize, Result<Report>),
) {
    let todo: Mutex<VecDeque<(usize, Trial)>> =
        Mutex::new(trials.iter().copied().enumerate().collect());
    let next = || {
        let mut todo = todo.lock().unwrap_or_else(PoisonError::into_inner);
        todo.pop_front()
    };
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for _ in 0..at_once.get().min(trials.len()) {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while let Some((number, trial)) = next() {
                    // Without a receiver the caller has panicked, and nobody waits any more.
                    if tell.send((number, run(&trial, |_| ()))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (number, report) in told {
            each(number, report);
        }
    });
}
