//! The last traced request behind each value: Prometheus links a bucket to a trace by it. Kept only where `exemplars=true` asks for them.

use crate::metrics::text::Exemplar;

/// Longest trace id that is kept: OpenMetrics bounds an exemplar's names and values to 128 characters together, and `traceID` takes 7.
const LONGEST: usize = 121;

/// The exemplars of one series, by position: 0 of a counter, a histogram's buckets in order.
#[derive(Clone, Debug, Default)]
pub struct Exemplars(Vec<(usize, Exemplar)>);

impl Exemplars {
    /// Keeps the newest exemplar of a position.
    pub fn keep(&mut self, position: usize, exemplar: Option<Exemplar>) {
        let Some(exemplar) = exemplar.filter(|exemplar| !exemplar.trace_id.is_empty() && exemplar.trace_id.chars().count() <= LONGEST)
        else {
            return;
        };
        match self.0.iter_mut().find(|(known, _)| *known == position) {
            Some((_, known)) => *known = exemplar,
            None => self.0.push((position, exemplar)),
        }
    }

    /// The exemplar of a position.
    #[must_use]
    pub fn at(&self, position: usize) -> Option<&Exemplar> {
        self.0.iter().find(|(known, _)| *known == position).map(|(_, exemplar)| exemplar)
    }
}
