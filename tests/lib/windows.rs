//! How many windows lines are of, seen from the lines alone: in one window no two lines have the same key.

use std::collections::HashSet;
use std::time::SystemTime;

use serde_json::Value;

/// The fewest windows that lines in the order of their file can be of.
pub fn fewest<'l>(lines: impl IntoIterator<Item = &'l Value>, key: impl Fn(&Value) -> String) -> usize {
    let (mut windows, mut seen) = (1, HashSet::new());
    for line in lines {
        let key = key(line);
        if seen.contains(&key) {
            windows += 1;
            seen.clear();
        }
        seen.insert(key);
    }
    windows
}

/// Counts the seconds that begin or end while a daemon runs. A window is one of them; a stop and a detach each cut one more.
pub struct Seconds(u64);

impl Seconds {
    /// From now on.
    pub fn begin() -> Seconds {
        Seconds(now())
    }

    /// The most windows a daemon can have had that was started after the beginning, and is stopped and detached by now.
    pub fn most_windows(&self) -> usize {
        (now() - self.0 + 1 + 2) as usize
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}
