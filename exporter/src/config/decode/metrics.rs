//! Which metrics are wanted: texts in the syntax of Cilium's `hubble-metrics`, and maps as in its dynamic metrics file (Hubble digest §8.2).
//!
//! Maps follow Go's rules for keys, as all of Cilium's files; what Cilium ignores in them is a warning. What makes Cilium leave out one metric (a filter
//! that can't be built, a context that does not exist) refuses the whole list here: this is read at the start, when somebody looks.

use super::fields::{At, Fields, Unknown};
use super::filters::filters;
use crate::config::build::FilterLists;
use crate::config::keys::{CONTEXT_OPTION, DYNAMIC_METRICS, METRIC};
use crate::config::place::{Place, Places, Problems, Severity};
use crate::config::settings::DEFAULT_METRICS;
use crate::filter::Filters;
use crate::metrics::hubble::spec::{Specs, Written};

/// What came of reading metrics on their own.
///
/// # Errors
/// Every problem, warnings included. Where the metrics are taken there are only warnings, which come with them.
pub(crate) fn checked(read: impl FnOnce(&mut Problems) -> Specs) -> Result<(Specs, Problems), Problems> {
    let mut problems = Problems::default();
    let specs = read(&mut problems);
    problems.sort();
    if problems.0.iter().all(|problem| problem.is_harmless(false)) { Ok((specs, problems)) } else { Err(problems) }
}

/// Reads the values of `--metrics`; without any, the usual metrics are wanted.
pub(crate) fn of_flags<T: AsRef<str>>(values: &[T], problems: &mut Problems) -> Specs {
    let (mut specs, place) = (Specs::default(), Place { path: "--metrics".to_owned(), ..Place::default() });
    let given = values.iter().map(AsRef::as_ref);
    for value in given.chain(DEFAULT_METRICS.into_iter().filter(|_| values.is_empty())) {
        if value.is_empty() {
            problems.reject(&place, "is empty", Some("name a metric, or remove the flag".into()));
        }
        text(value, &place, &mut specs, problems);
    }
    specs
}

/// Reads a list of texts and maps; `None` where there are none.
pub(crate) fn of_list(at: &At<'_>, problems: &mut Problems) -> Option<Specs> {
    let mut specs = Specs::default();
    let items = at.items(problems)?;
    for item in &items {
        if item.is_map() {
            map(item, &mut specs, problems);
        } else if item.node.is_null() {
            problems.reject(&item.place, "is empty", Some("write a metric, or remove the dash".into()));
        } else if let Some(value) = item.word(problems) {
            text(&value, &item.place, &mut specs, problems);
        }
    }
    (!items.is_empty()).then_some(specs)
}

/// Reads a file of Cilium's, `dynamic-metrics.yaml`. One without metrics wants none, as there.
pub(crate) fn of_file(text: &[u8], problems: &mut Problems) -> Specs {
    let root = crate::config::yaml::parse(text, problems);
    let at = root.as_ref().filter(|root| !root.is_null()).map(|root| At::new(root, String::new()));
    let fields = at.and_then(|at| Fields::take(&at, &[DYNAMIC_METRICS], Unknown::Warn, problems));
    fields.and_then(|fields| fields.whole("metrics", problems, of_list)).unwrap_or_default()
}

/// A text may hold several metrics, between spaces.
fn text(text: &str, place: &Place, specs: &mut Specs, problems: &mut Problems) {
    for written in text.split_whitespace().map(Written::parse) {
        add(specs, &written, None, |_| place.clone(), problems);
    }
}

fn map(at: &At<'_>, specs: &mut Specs, problems: &mut Problems) {
    let mut found = Problems::default();
    let Some(fields) = Fields::take(at, &[METRIC], Unknown::Warn, &mut found) else { return };
    let written = Written {
        name: fields.value("name", &mut found, At::text).unwrap_or_default(),
        options: fields.whole("contextOptions", &mut found, options).unwrap_or_default(),
    };
    let include = fields.whole("includeFilters", &mut found, filters).unwrap_or_default();
    let exclude = fields.whole("excludeFilters", &mut found, filters).unwrap_or_default();
    #[cfg(test)]
    fields.assert_all_asked();
    let places = Places::new(at.place.clone(), at.node);
    let lists = FilterLists { include: &include, exclude: &exclude, places: &places };
    let filters = match lists.compile() {
        Ok(filters) => {
            lists.advise(&filters, &mut found);
            (!include.is_empty() || !exclude.is_empty()).then_some(filters)
        }
        Err(failed) => {
            found.append(failed);
            None
        }
    };
    if written.name.is_empty() {
        found.reject(fields.place(), "name is missing", Some("write the metric's, as in name: drop".into()));
    } else {
        add(specs, &written, filters, |path| places.below(path), &mut found);
    }
    // What has no effect in a metric harms nobody, however strict the rest of the file is read.
    found.0.iter_mut().filter(|problem| problem.severity == Severity::Ignored).for_each(|problem| problem.severity = Severity::Warning);
    problems.append(found);
}

/// Values stay as they are: unlike in a text, nothing is split.
fn options(at: &At<'_>, problems: &mut Problems) -> Option<Vec<(String, Vec<String>)>> {
    let items = at.items(problems)?;
    Some(items.iter().filter_map(|item| option(item, problems)).collect())
}

fn option(at: &At<'_>, problems: &mut Problems) -> Option<(String, Vec<String>)> {
    let fields = Fields::take(at, &[CONTEXT_OPTION], Unknown::Warn, problems)?;
    let name = fields.value("name", problems, At::text).unwrap_or_default();
    let values = fields.whole("values", problems, At::texts).unwrap_or_default();
    #[cfg(test)]
    fields.assert_all_asked();
    Some((name, values))
}

fn add(specs: &mut Specs, written: &Written, filters: Option<Filters>, place: impl Fn(&str) -> Place, problems: &mut Problems) {
    for error in specs.add(written, filters) {
        let place = place(&error.path());
        if error.is_harmless() {
            problems.warn(&place, error.to_string(), None);
        } else {
            problems.reject(&place, error.to_string(), None);
        }
    }
}
