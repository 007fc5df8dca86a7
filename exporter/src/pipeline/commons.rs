//! What all readers of the intake share, and what each of them took of it last.

use std::sync::Arc;

use super::surroundings::{Shared, Surroundings};
use crate::identity::Identities;
use crate::sources::clock::ArrivalClock;

/// What flow logs and metrics share.
#[derive(Clone)]
pub struct Commons {
    /// Who addresses are.
    pub identities: Arc<Shared<Identities>>,
    /// Interfaces, reasons, the node's name.
    pub around: Arc<Shared<Surroundings>>,
    /// The arrival clock.
    pub clock: Arc<ArrivalClock>,
}

/// What one reader took last.
pub struct Known {
    /// Who addresses are.
    pub identities: Arc<Identities>,
    /// Interfaces, reasons, the node's name.
    pub around: Arc<Surroundings>,
    generations: (u64, u64),
}

impl Known {
    /// What there is now.
    #[must_use]
    pub fn of(commons: &Commons) -> Self {
        // Asked for first: what is replaced in between is taken again.
        let generations = (commons.identities.generation(), commons.around.generation());
        Self { identities: commons.identities.get(), around: commons.around.get(), generations }
    }

    /// Takes what is new. Whether anything has another name now: a new interface changes nothing that was decided before, a new name of an old one does.
    /// New identities are noticed row by row.
    #[must_use]
    pub fn refresh(&mut self, commons: &Commons) -> bool {
        if (commons.identities.generation(), commons.around.generation()) == self.generations {
            return false;
        }
        let before = std::mem::replace(self, Self::of(commons));
        self.around.renames(&before.around)
    }
}
