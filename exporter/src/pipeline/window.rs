//! When a window ends: a pure function of arrival times, so that the same frames are cut alike after a crash.

/// A second, in nanoseconds: the longest time between two commits.
pub const SECOND: i64 = 1_000_000_000;
/// With no window at all, the longest time between two commits.
const BATCH: i64 = 100_000_000;

/// What a cut has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Write the sums of the last second as a hidden run: the window goes on.
    Partial,
    /// End the window: write its lines.
    Window,
}

/// The windows of one flow log.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Length in nanoseconds; 0 writes a line per event.
    length: i64,
    /// The next time to cut, once something is open.
    next: Option<i64>,
}

impl Windows {
    /// Windows of `length` nanoseconds.
    #[must_use]
    pub fn new(length: i64) -> Self {
        Self { length: length.max(0), next: None }
    }

    /// Whether every event has its own line.
    #[must_use]
    pub fn per_event(&self) -> bool {
        self.length == 0
    }

    /// Whether a window is longer than the time between two commits, so that its sums have to be stored meanwhile.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.length > SECOND
    }

    /// Something has been added at `now`: from here on there is something to cut.
    pub fn open(&mut self, now: i64) {
        if self.next.is_none() {
            self.next = Some(boundary(now, self.step()));
        }
    }

    /// The cut that is due at `now`, with its time. Call until there is none.
    pub fn due(&mut self, now: i64) -> Option<(i64, Cut)> {
        let at = self.next.filter(|at| *at <= now)?;
        Some((at, self.kind(at)))
    }

    /// The time of the next cut, if anything is open.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// A cut was made at `at`, on the way to `now`; `open` says whether something is still open.
    ///
    /// Nothing arrives between the two, so of the boundaries up to `now` only the end of a long window has anything to cut: however long nothing was heard,
    /// because the daemon was away or the wall clock was set forward, it costs a few commits.
    pub fn cut(&mut self, at: i64, now: i64, open: bool) {
        let next = boundary(at.max(now), self.step());
        let ends = self.kind(at) == Cut::Partial && self.is_long();
        self.next = open.then(|| if ends { next.min(boundary(at, self.length)) } else { next });
    }

    fn kind(&self, at: i64) -> Cut {
        if self.is_long() && at.rem_euclid(self.length) != 0 { Cut::Partial } else { Cut::Window }
    }

    fn step(&self) -> i64 {
        match self.length {
            0 => BATCH,
            length => length.min(SECOND),
        }
    }
}

/// The first multiple of `step` after `now`. A long window ends at one of them only if its length is a multiple of a second; see [`whole_seconds`].
fn boundary(now: i64, step: i64) -> i64 {
    (now.div_euclid(step) + 1) * step
}

/// A window length as it can be kept: above a second, whole seconds, rounded up.
#[must_use]
pub fn whole_seconds(length: i64) -> i64 {
    if length > SECOND { (length + SECOND - 1) / SECOND * SECOND } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cut up to `now`, by its second, while something stays open.
    fn cuts_until(windows: &mut Windows, now: i64) -> Vec<(i64, Cut)> {
        let mut cuts = Vec::new();
        while let Some((at, cut)) = windows.due(now) {
            cuts.push((at / SECOND, cut));
            windows.cut(at, now, true);
        }
        cuts
    }

    #[test]
    fn a_window_of_a_second_ends_with_the_second_its_first_event_arrived_in() {
        let mut windows = Windows::new(SECOND);
        assert_eq!(windows.due(5 * SECOND), None);
        windows.open(5 * SECOND + 1);
        windows.open(5 * SECOND + 900);
        assert_eq!(windows.due(6 * SECOND - 1), None);
        assert_eq!(windows.due(9 * SECOND), Some((6 * SECOND, Cut::Window)));
        windows.cut(6 * SECOND, 9 * SECOND, false);
        assert_eq!(windows.due(9 * SECOND), None);
    }

    #[test]
    fn a_long_window_is_stored_every_second_and_ends_on_a_multiple_of_its_length() {
        let mut windows = Windows::new(3 * SECOND);
        windows.open(4 * SECOND + 1);
        let mut cuts = Vec::new();
        for now in 5..=7 {
            cuts.extend(cuts_until(&mut windows, now * SECOND));
        }
        assert_eq!(cuts, [(5, Cut::Partial), (6, Cut::Window), (7, Cut::Partial)]);
    }

    #[test]
    fn over_a_time_in_which_nothing_arrives_a_window_is_stored_once_and_ends_once() {
        let day = 86_400 * SECOND;
        for (length, cuts) in [
            (0, &[(4, Cut::Window)][..]),
            (SECOND, &[(5, Cut::Window)]),
            (3 * SECOND, &[(5, Cut::Partial), (6, Cut::Window)]),
            (100 * day, &[(5, Cut::Partial)]),
        ] {
            let mut windows = Windows::new(length);
            windows.open(4 * SECOND + 1);
            assert_eq!(cuts_until(&mut windows, day), cuts, "{length}");
            assert!(windows.next().is_some_and(|next| next > day && next <= day + SECOND), "{length}");
        }
    }

    #[test]
    fn a_length_above_a_second_is_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(SECOND / 3), SECOND / 3);
        assert_eq!(whole_seconds(SECOND + 1), 2 * SECOND);
        assert_eq!(whole_seconds(30 * SECOND), 30 * SECOND);
    }
}
