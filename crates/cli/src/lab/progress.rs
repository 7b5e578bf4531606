//! A line on stderr that says how far it is, where somebody looks.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use sockpulse_core::human;
use sockpulse_lab::{Predicted, Prediction, Trial};

/// The line. Nothing is written where stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    title: String,
    shown: bool,
    ended: Arc<AtomicBool>,
    ticker: std::cell::RefCell<Option<JoinHandle<()>>>,
}

const STEP: Duration = Duration::from_millis(200);

impl Progress {
    pub(super) fn of(title: &str) -> Self {
        let progress = Self {
            title: title.to_owned(),
            shown: io::stderr().is_terminal(),
            ended: Arc::new(AtomicBool::new(false)),
            ticker: std::cell::RefCell::new(None),
        };
        progress.say("building");
        progress
    }

    /// Says something in place of what stood there.
    pub(super) fn say(&self, what: &str) {
        if self.shown {
            write(&self.title, what);
        }
    }

    /// Counts the time until the prediction must have come true.
    pub(super) fn waits_for(&self, prediction: &Prediction, trial: &Trial) {
        if !self.shown {
            return;
        }
        let (word, until) = match prediction.outcome {
            Predicted::Ends { at, .. } => ("at most", at.latest),
            Predicted::Stays | Predicted::Depends => ("all of", trial.watch),
        };
        let begun = u64::from(until.subsec_nanos() > 0);
        let until = Duration::from_secs(until.as_secs().saturating_add(begun));
        let (title, ended) = (self.title.clone(), self.ended.clone());
        let start = Instant::now();
        let tick = move || {
            while !ended.load(Ordering::Relaxed) {
                let gone = Duration::from_secs(start.elapsed().as_secs());
                write(
                    &title,
                    &format!("{} of {word} {}", human(gone), human(until)),
                );
                thread::park_timeout(STEP);
            }
        };
        // Without it nothing is lost but the line.
        *self.ticker.borrow_mut() = thread::Builder::new().spawn(tick).ok();
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.borrow_mut().take() {
            ticker.thread().unpark();
            let _ = ticker.join();
        }
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn write(title: &str, what: &str) {
    // Whoever looks at the line sees when it stops.
    let _ = write!(io::stderr(), "\r\x1b[K{title}: {what}");
}
