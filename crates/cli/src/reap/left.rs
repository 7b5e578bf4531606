//! What was held before and what is left afterwards: descriptors and memory.

use std::time::Duration;

use sockpulse_core::Unseen;

use super::end::Destroyed;
use crate::ping::station::Stations;

/// Descriptors of those who were ended, and their memory; programs need a moment to close.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) descriptors: u64,
    /// Still open; `None` if it could not be seen.
    pub(super) still_open: Option<u64>,
    /// Bytes that their buffers took; `None` if that could not be read of each.
    pub(super) memory: Option<u64>,
    /// What they take still.
    pub(super) still_taken: Option<u64>,
}

/// How long programs are waited for, and how often it is looked.
const PATIENCE: u32 = 50;
const STEP: Duration = Duration::from_millis(20);

impl Left {
    pub(super) fn of(stations: &dyn Stations, destroyed: &[Destroyed]) -> Self {
        let holders = destroyed.iter().map(|one| one.holders.len());
        let memory = destroyed.iter().map(|one| one.memory).sum();
        let mut left = Self {
            descriptors: holders.sum::<usize>().try_into().unwrap_or(u64::MAX),
            still_open: Some(0),
            memory,
            still_taken: Some(0),
        };
        for turn in 0..PATIENCE {
            left.look(stations, destroyed);
            if left.still_open == Some(0) || turn + 1 == PATIENCE {
                break;
            }
            stations.pause(STEP);
        }
        left
    }

    fn look(&mut self, stations: &dyn Stations, destroyed: &[Destroyed]) {
        let (mut open, mut taken) = (Some(0), Some(0));
        for one in destroyed {
            let mut of_one = None;
            for holder in &one.holders {
                match stations.memory_after(*holder, one.cookie) {
                    Ok(memory) => {
                        open = open.map(|open: u64| open + 1);
                        of_one = Some(memory.0);
                    }
                    Err(Unseen::Vanished) => {}
                    Err(_) => (open, taken) = (None, None),
                }
            }
            // Several processes may hold one socket.
            taken = taken.map(|taken: u64| taken + of_one.unwrap_or(0));
        }
        (self.still_open, self.still_taken) = (open, taken);
    }
}
