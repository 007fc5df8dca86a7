//! How long to wait before the next attempt: doubling from half a second, with full jitter, never past the sink's own ceiling.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure. `random` in 0..=1 spreads it over the upper half of the step.
    pub fn next(&mut self, ceiling: Duration, random: f64) -> Duration {
        let step = FIRST.saturating_mul(1 << self.failures.min(16)).min(ceiling);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// A random number in 0..=1. Without random numbers from the system the pauses are just not spread.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_ceiling_and_stay_within_their_step() {
        let ceiling = Duration::from_secs(60);
        let longest = |random| {
            let mut backoff = Backoff::default();
            (0..10).map(|_| backoff.next(ceiling, random).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(longest(1.0), [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
        assert_eq!(longest(0.0)[..3], [250, 500, 1000]);
    }
}
