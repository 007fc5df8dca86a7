//! What a flow log tells others about itself: its totals at the last commit, and whether it can store its windows.

use std::sync::{Mutex, PoisonError};

use super::totals::Totals;

/// One state, as of a commit.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The accounting.
    pub totals: Totals,
    /// Tuples in the flow cache.
    pub rows: usize,
    /// Arrival time of the last commit, Unix nanoseconds; 0 before the first.
    pub committed: i64,
    /// Why the last commit does not go through, if it does not.
    pub failing: Option<String>,
    /// The flow log has ended.
    pub stopped: bool,
}

/// A place to publish to.
#[derive(Debug, Default)]
pub struct Published(Mutex<Snapshot>);

impl Published {
    /// The last state.
    #[must_use]
    pub fn get(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A commit went through.
    pub fn committed(&self, totals: &Totals, rows: usize, at: i64) {
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.totals.clone_from(totals);
        (snapshot.rows, snapshot.committed, snapshot.failing) = (rows, at, None);
    }

    /// A commit does not go through.
    pub fn failing(&self, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failing = Some(why.to_owned());
    }

    /// The flow log has ended.
    pub fn stopped(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
    }
}
