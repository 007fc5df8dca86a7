//! How many batches may be on the way at once: one more after as many successes as there are on the way, a tenth fewer after a failure
//! that may mean "too much". Stays small, since order matters more than parallelism.

#[derive(Debug)]
pub(super) struct Concurrency {
    limit: f64,
    most: f64,
}

impl Concurrency {
    pub fn new(most: usize) -> Self {
        Self { limit: 1.0, most: most.max(1) as f64 }
    }

    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    pub fn succeeded(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(self.most);
    }

    pub fn pushed_back(&mut self) {
        self.limit = (self.limit * 0.9).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_climbs_with_success_and_falls_with_failure_but_stays_in_its_bounds() {
        let mut concurrency = Concurrency::new(4);
        assert_eq!(concurrency.limit(), 1);
        (0..100).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.limit(), 4);
        (0..3).for_each(|_| concurrency.pushed_back());
        assert_eq!(concurrency.limit(), 2);
        (0..100).for_each(|_| concurrency.pushed_back());
        assert_eq!(concurrency.limit(), 1);
    }
}
