//! The series of one metric name, bounded in number.
//!
//! A label taken from traffic (an address, a queried name) has as many values as somebody cares to send. Past the bound nothing is forgotten and nothing
//! grows: what belongs to a further series is counted in one whose labels are all `__overflow__`, so sums stay right and the page says how much it is.
//! Series are never removed, so that their numbers can be kept in caches.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::exemplar::Exemplars;
use crate::metrics::text::{Exemplar, Kind, Page};

/// Series one metric name may have, beside the overflow series.
pub const MOST_SERIES: usize = 10_000;
/// Value of every label of the overflow series.
pub const OVERFLOW: &str = "__overflow__";
/// Upper bounds of the buckets in seconds: the default of Prometheus' client libraries, which Hubble keeps.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a metric is.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its full name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Counter or histogram.
    pub kind: Kind,
    /// Its labels, in the order values are given.
    pub labels: Vec<&'static str>,
}

/// A metric and its series.
#[derive(Debug)]
pub struct Table {
    layout: Layout,
    /// Label positions in the order of their names, which is how they are written.
    order: Vec<usize>,
    series: Vec<Series>,
    index: HashTable<u32>,
    hasher: RandomState,
    most: usize,
    overflow: Option<u32>,
    /// Observations that went into the overflow series.
    pub overflowed: u64,
}

#[derive(Debug)]
struct Series {
    labels: Box<[Box<str>]>,
    count: u64,
    seconds: Option<Box<Seconds>>,
    exemplars: Exemplars,
}

#[derive(Clone, Debug, Default)]
struct Seconds {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
}

impl Table {
    /// An empty table of at most `most` series.
    #[must_use]
    pub fn new(layout: Layout, most: usize) -> Self {
        let mut order: Vec<usize> = (0..layout.labels.len()).collect();
        order.sort_by_key(|at| layout.labels[*at]);
        Self { layout, order, series: Vec::new(), index: HashTable::new(), hasher: RandomState::new(), most, overflow: None, overflowed: 0 }
    }

    /// The number of the series with these label values.
    pub fn series(&mut self, values: &[Cow<'_, str>]) -> u32 {
        let hash = self.hash(values.iter().map(AsRef::as_ref));
        let same = |series: &Series| series.labels.iter().map(AsRef::as_ref).eq(values.iter().map(AsRef::<str>::as_ref));
        if let Some(&at) = self.index.find(hash, |&at| same(&self.series[at as usize])) {
            return at;
        }
        if self.series.len() >= self.most {
            return self.overflow();
        }
        let at = self.push(values.iter().map(|value| value.as_ref().into()).collect());
        let (hasher, series) = (&self.hasher, &self.series);
        self.index.insert_unique(hash, at, |&at| hash_of(hasher, series[at as usize].labels.iter().map(AsRef::as_ref)));
        at
    }

    /// Adds to a counter.
    pub fn add(&mut self, at: u32, count: u64, exemplar: Option<Exemplar>) {
        self.overflowed += if self.overflow == Some(at) { count } else { 0 };
        if let Some(series) = self.series.get_mut(at as usize) {
            series.count += count;
            series.exemplars.keep(0, exemplar);
        }
    }

    /// Adds a duration to a histogram.
    pub fn observe(&mut self, at: u32, seconds: f64, exemplar: Option<Exemplar>) {
        self.overflowed += u64::from(self.overflow == Some(at));
        if let Some(series) = self.series.get_mut(at as usize) {
            series.count += 1;
            let histogram = series.seconds.get_or_insert_default();
            histogram.sum += seconds;
            let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
            if let Some(bucket) = bucket {
                histogram.buckets[bucket] += 1;
            }
            series.exemplars.keep(bucket.unwrap_or(BUCKETS.len()), exemplar);
        }
    }

    /// Writes every series that was counted in, in the order of their labels.
    pub fn render(&self, page: &mut Page) {
        let mut shown: Vec<&Series> = self.series.iter().filter(|series| series.count > 0).collect();
        shown.sort_by(|a, b| self.order.iter().map(|at| &a.labels[*at]).cmp(self.order.iter().map(|at| &b.labels[*at])));
        let mut family = page.family(self.layout.name, self.layout.kind, self.layout.help);
        for series in shown {
            let labels: Vec<(&str, &str)> = self.order.iter().map(|at| (self.layout.labels[*at], series.labels[*at].as_ref())).collect();
            match &series.seconds {
                None => family.sample_with(&labels, series.count, series.exemplars.at(0)),
                Some(seconds) => {
                    let mut sum = 0;
                    let buckets: Vec<(f64, u64)> = BUCKETS
                        .iter()
                        .zip(seconds.buckets)
                        .map(|(bound, count)| {
                            sum += count;
                            (*bound, sum)
                        })
                        .collect();
                    family.histogram_with(&labels, &buckets, seconds.sum, series.count, |bucket| series.exemplars.at(bucket))
                }
            };
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.layout.name
    }

    fn overflow(&mut self) -> u32 {
        match self.overflow {
            Some(at) => at,
            None => {
                let at = self.push(self.layout.labels.iter().map(|_| OVERFLOW.into()).collect());
                self.overflow = Some(at);
                at
            }
        }
    }

    fn push(&mut self, labels: Box<[Box<str>]>) -> u32 {
        self.series.push(Series { labels, count: 0, seconds: None, exemplars: Exemplars::default() });
        (self.series.len() - 1) as u32
    }

    fn hash<'v>(&self, values: impl Iterator<Item = &'v str>) -> u64 {
        hash_of(&self.hasher, values)
    }
}

fn hash_of<'v>(hasher: &RandomState, values: impl Iterator<Item = &'v str>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut state = hasher.build_hasher();
    values.for_each(|value| value.hash(&mut state));
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(most: usize) -> Table {
        Table::new(Layout { name: "x_total", help: "X.", kind: Kind::Counter, labels: vec!["b", "a"] }, most)
    }

    fn text(table: &Table) -> String {
        let mut page = Page::new();
        table.render(&mut page);
        page.finish()
    }

    #[test]
    fn past_the_bound_everything_is_counted_in_the_overflow_series() {
        let mut table = table(2);
        for n in 0..5 {
            let at = table.series(&[n.to_string().into(), "v".into()]);
            table.add(at, 1, None);
        }
        let again = table.series(&["0".into(), "v".into()]);
        table.add(again, 1, None);
        assert_eq!(
            text(&table),
            "# HELP x_total X.\n# TYPE x_total counter\nx_total{a=\"__overflow__\",b=\"__overflow__\"} 3\nx_total{a=\"v\",b=\"0\"} 2\nx_total{a=\"v\",b=\"1\"} 1\n"
        );
        assert_eq!(table.overflowed, 3);
    }

    #[test]
    fn values_do_not_run_into_one_another() {
        let mut table = table(10);
        let (one, other) = (table.series(&["ab".into(), "c".into()]), table.series(&["a".into(), "bc".into()]));
        assert_ne!(one, other);
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let mut table = Table::new(Layout { name: "x_seconds", help: "X.", kind: Kind::Histogram, labels: vec![] }, 10);
        let at = table.series(&[]);
        for seconds in [0.005, 0.006, 11.0] {
            table.observe(at, seconds, None);
        }
        let text = text(&table);
        for line in [
            "x_seconds_bucket{le=\"0.005\"} 1",
            "x_seconds_bucket{le=\"0.01\"} 2",
            "x_seconds_bucket{le=\"10\"} 2",
            "x_seconds_bucket{le=\"+Inf\"} 3",
            "x_seconds_count 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
