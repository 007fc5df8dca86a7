//! Which events a flow log wants: Hubble's FlowFilter, compiled once, to the letter of `spec/hubble.md` §3.
//!
//! The way of a filter: [`FlowFilter`] (data, from JSON) → `compile` (values to [`test`](self)s, cheap ones first) → [`Filters`], which answers in
//! three forms: [`Filters::matches`] for any event; [`Filters::per_flow`] and [`Filters::per_event`] for the cached path, where what the flow alone
//! decides is decided once; [`Filters::answer`] for a flow whose ports the kernel folded away, which may be "unknown" (such a flow is kept, and counted).
//!
//! A file per family of fields: `address`, `name` (pods, services), `glob` (DNS and node names), `label`, `protocol` (and ports), `http`, `url`,
//! `re2`, `cel`.

pub mod address;
pub mod cel;
mod compile;
mod error;
mod flow_filter;
pub mod glob;
pub mod http;
pub mod label;
pub mod name;
pub mod protocol;
pub mod re2;
mod requirement;
mod test;
#[cfg(test)]
mod tests;
pub mod url;

pub use error::{Advice, BuildError, List, Place};
pub use flow_filter::{DecodeError, EventTypeFilter, Experimental, FlowFilter};
pub use requirement::{Requirement, VARIES_PER_EVENT};

use crate::flow::{ExportEvent, Flow};
use test::Test;

/// What filters say of a flow part of which is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Not wanted, whatever the unknown part is.
    No,
    /// It depends on the unknown part.
    Unknown,
    /// Wanted, whatever the unknown part is.
    Yes,
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Which ports of a flow are not known, because the kernel folded them away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownPorts {
    /// The source port.
    pub source: bool,
    /// The destination port.
    pub destination: bool,
}

/// What a flow decides for all of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerFlow {
    /// Every event of the flow is wanted, or none.
    Decided(bool),
    /// Each event has to be looked at: ask [`Filters::per_event`] with this.
    PerEvent(Remaining),
}

/// The filters that a flow left undecided: a bit each, the last bit for all from the 64th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Whether an include filter, or none being there, has let the flow in already.
    included: bool,
    include: u64,
    exclude: u64,
}

/// One compiled filter: tests on what a flow's events share, then tests on what varies.
#[derive(Debug)]
struct Filter {
    tests: Vec<compile::Named>,
    per_event_from: usize,
}

/// The filters of a flow log: events are wanted that match one of the include filters, or any if there are none, and no exclude filter.
#[derive(Debug)]
pub struct Filters {
    include: Vec<Filter>,
    exclude: Vec<Filter>,
    advice: Vec<Advice>,
}

/// The bit that stands for this filter and all behind it.
const LAST: usize = 63;

impl Filters {
    /// Compiles both lists.
    ///
    /// # Errors
    /// Every value that can't be built, each with its place and what to write instead.
    pub fn compile(include: &[FlowFilter<'_>], exclude: &[FlowFilter<'_>]) -> Result<Self, Vec<BuildError>> {
        let (mut errors, mut advice) = (Vec::new(), Vec::new());
        let mut all = |list: List, filters: &[FlowFilter<'_>]| -> Vec<Filter> {
            filters
                .iter()
                .enumerate()
                .map(|(n, filter)| {
                    let tests = compile::compile(list, n, filter, &mut errors, &mut advice);
                    let per_event_from = tests.partition_point(|(_, test)| !test.is_per_event());
                    Filter { tests, per_event_from }
                })
                .collect()
        };
        let include = all(List::Include, include);
        let exclude = all(List::Exclude, exclude);
        if errors.is_empty() { Ok(Self { include, exclude, advice }) } else { Err(errors) }
    }

    /// Values that are valid and unlikely to be meant as they are.
    pub fn advice(&self) -> &[Advice] {
        &self.advice
    }

    /// Whether an event is wanted.
    pub fn matches(&self, event: &ExportEvent<'_>) -> bool {
        match event.flow() {
            Some(flow) => self.matches_flow(flow),
            None => {
                let other = |filter: &Filter| filter.tests.iter().all(|(_, test)| test.holds_for_other(event.event.as_ref()));
                (self.include.is_empty() || self.include.iter().any(other)) && !self.exclude.iter().any(other)
            }
        }
    }

    /// Whether a flow is wanted.
    pub fn matches_flow(&self, flow: &Flow<'_>) -> bool {
        let holds = |filter: &Filter| filter.tests.iter().all(|(_, test)| test.holds(flow));
        (self.include.is_empty() || self.include.iter().any(holds)) && !self.exclude.iter().any(holds)
    }

    /// What is known of whether a flow is wanted when some of its ports are not known.
    pub fn answer(&self, flow: &Flow<'_>, unknown: UnknownPorts) -> Answer {
        let any = |filters: &[Filter]| filters.iter().map(|filter| filter.answer(flow, unknown)).max().unwrap_or(Answer::No);
        let included = if self.include.is_empty() { Answer::Yes } else { any(&self.include) };
        let kept = match any(&self.exclude) {
            Answer::No => Answer::Yes,
            Answer::Unknown => Answer::Unknown,
            Answer::Yes => Answer::No,
        };
        included.min(kept)
    }

    /// Whether any of them looks at what varies between the events of a flow.
    pub fn vary(&self) -> bool {
        self.include.iter().chain(&self.exclude).any(|filter| !filter.per_event().is_empty())
    }

    /// Decides what a flow decides for all its events; fields named in [`VARIES_PER_EVENT`] are not looked at.
    pub fn per_flow(&self, flow: &Flow<'_>) -> PerFlow {
        let (excluded, exclude) = remaining(&self.exclude, flow);
        if excluded {
            return PerFlow::Decided(false);
        }
        let (included, include) = if self.include.is_empty() { (true, 0) } else { remaining(&self.include, flow) };
        match (included, include, exclude) {
            (true, _, 0) => PerFlow::Decided(true),
            (false, 0, _) => PerFlow::Decided(false),
            _ => PerFlow::PerEvent(Remaining { included, include, exclude }),
        }
    }

    /// Decides one event of a flow that [`Filters::per_flow`] left open. `flow` is the flow as it is for this event.
    pub fn per_event(&self, flow: &Flow<'_>, remaining: Remaining) -> bool {
        (remaining.included || any_remaining(&self.include, remaining.include, flow))
            && !any_remaining(&self.exclude, remaining.exclude, flow)
    }

    /// What the filters look at.
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut all = Vec::new();
        for (list, filters) in [(List::Include, &self.include), (List::Exclude, &self.exclude)] {
            for (filter, compiled) in filters.iter().enumerate() {
                for (field, test) in &compiled.tests {
                    let place = Place { list, filter, field: (*field).to_owned() };
                    let paths: Vec<String> = match test {
                        Test::Cel { programs, .. } => programs.iter().flat_map(cel::Program::paths).collect(),
                        _ => requirement::paths(field).iter().map(|path| (*path).to_owned()).collect(),
                    };
                    all.extend(paths.into_iter().map(|path| Requirement { place: place.clone(), path }));
                }
            }
        }
        all
    }
}

impl Filter {
    fn answer(&self, flow: &Flow<'_>, unknown: UnknownPorts) -> Answer {
        let mut least = Answer::Yes;
        for (_, test) in &self.tests {
            least = least.min(test.answer(flow, unknown));
            if least == Answer::No {
                break;
            }
        }
        least
    }

    fn per_flow(&self) -> &[compile::Named] {
        self.tests.get(..self.per_event_from).unwrap_or_default()
    }

    fn per_event(&self) -> &[compile::Named] {
        self.tests.get(self.per_event_from..).unwrap_or_default()
    }
}

/// Whether a filter of the list matches every event of the flow, and which may match some.
fn remaining(filters: &[Filter], flow: &Flow<'_>) -> (bool, u64) {
    let mut open = 0;
    for (n, filter) in filters.iter().enumerate() {
        if filter.per_flow().iter().all(|(_, test)| test.holds(flow)) {
            if filter.per_event().is_empty() {
                return (true, 0);
            }
            open |= 1 << n.min(LAST);
        }
    }
    (false, open)
}

/// Whether a filter that was left open matches this event.
fn any_remaining(filters: &[Filter], open: u64, flow: &Flow<'_>) -> bool {
    let mut bits = open;
    while bits != 0 {
        let n = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        if n == LAST {
            // Filters that share a bit are tested whole.
            return filters.iter().skip(LAST).any(|filter| filter.tests.iter().all(|(_, test)| test.holds(flow)));
        }
        if filters.get(n).is_some_and(|filter| filter.per_event().iter().all(|(_, test)| test.holds(flow))) {
            return true;
        }
    }
    false
}
