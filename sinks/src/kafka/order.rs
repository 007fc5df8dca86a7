//! Batches on the way at once enter the producer's queue in the order of the spool, also after one of them has failed and comes again.
//!
//! Each batch draws a ticket when it is frozen. It may enqueue once all older ones are enqueued or gone. Librdkafka keeps the order from
//! there on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The batches on the way, and where each stands.
#[derive(Debug, Default)]
pub struct Order {
    batches: Mutex<BTreeMap<u64, Stand>>,
    changed: Notify,
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Something of it has to be enqueued.
    Waiting,
    /// All of it is in the queue of the producer of this generation. The queue of an earlier one is gone.
    Enqueued(u64),
    /// Every record has its end.
    Done,
}

/// A batch's place in the order; gives it up when dropped.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    order: Arc<Order>,
}

impl Order {
    /// The next place.
    pub fn ticket(self: &Arc<Order>) -> Ticket {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let number = batches.last_key_value().map_or(0, |(last, _)| last + 1);
        batches.insert(number, Stand::Waiting);
        Ticket { number, order: self.clone() }
    }
}

impl Ticket {
    /// Waits until all older batches are done, or enqueued with the producer of this generation.
    pub async fn turn(&self, generation: u64) {
        self.wait(|stand| has_passed(stand, generation)).await;
    }

    /// Waits until all older batches are done.
    pub async fn first(&self) {
        self.wait(|stand| stand == Stand::Done).await;
    }

    async fn wait(&self, is_fine: impl Fn(Stand) -> bool) {
        loop {
            let changed = self.order.changed.notified();
            tokio::pin!(changed);
            // Enabled before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            if self.are_older(&is_fine) {
                return;
            }
            changed.await;
        }
    }

    fn are_older(&self, is_fine: impl Fn(Stand) -> bool) -> bool {
        let batches = self.order.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.range(..self.number).all(|(_, stand)| is_fine(*stand))
    }

    /// Says where the batch stands now.
    pub fn set(&self, stand: Stand) {
        self.order.batches.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number, stand);
        self.order.changed.notify_waiters();
    }
}

/// Whether a batch that stands there is out of the way of younger ones that go to the producer of this generation.
fn has_passed(stand: Stand, generation: u64) -> bool {
    stand == Stand::Done || stand == Stand::Enqueued(generation)
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.order.batches.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        self.order.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_waits_for_the_older_ones_and_for_one_that_has_to_come_again() {
        let order = Arc::new(Order::default());
        let (first, second, third) = (order.ticket(), order.ticket(), order.ticket());
        let on = |generation| [&first, &second, &third].map(|ticket| ticket.are_older(|stand| has_passed(stand, generation)));
        assert_eq!(on(1), [true, false, false]);
        first.set(Stand::Enqueued(1));
        assert_eq!(on(1), [true, true, false]);
        second.set(Stand::Enqueued(1));
        assert_eq!(on(1), [true, true, true]);
        // A new producer: what stood in the queue of the one before has to come again first.
        assert_eq!(on(2), [true, false, false]);
        first.set(Stand::Done);
        assert_eq!(on(2), [true, true, false]);
        second.set(Stand::Waiting);
        assert_eq!(on(1), [true, true, false]);
        let waiting = tokio::spawn(async move { third.turn(1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
