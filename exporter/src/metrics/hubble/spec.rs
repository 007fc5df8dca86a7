//! Which metrics are wanted (Hubble digest §8.2), by what Cilium's `hubble-metrics` and its dynamic metrics file say of them.
//!
//! As upstream, names count in their case, options and their values do not, and what nobody knows is passed over with a warning: an
//! installation's list may name metrics of a newer or older release. A context that does not exist is an error, because a label would be missing.

use std::sync::Arc;

use super::context::Context;
use crate::filter::Filters;

/// One metric as it is written, in either form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its options, each with its values.
    pub options: Vec<(String, Vec<String>)>,
}

/// One family of metrics with its options.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What is counted.
    pub family: Family,
    /// Which labels say between whom.
    pub context: Context,
    /// Which flows count, unless all do.
    pub filters: Option<Arc<Filters>>,
}

/// A family by its configuration name, with the options that are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `dns`
    Dns {
        /// The queried name is a label.
        query: bool,
        /// Queries for nothing but AAAA are not counted.
        ignore_aaaa: bool,
    },
    /// `drop`
    Drop,
    /// `tcp`
    Tcp,
    /// `flow`
    Flow,
    /// `flows-to-world`
    FlowsToWorld {
        /// Drops count for any reason, not only by policy.
        any_drop: bool,
        /// The destination port is a label.
        port: bool,
        /// Only the first segments of TCP connections count.
        syn_only: bool,
    },
    /// `http`
    Http {
        /// Trace ids are kept as exemplars.
        exemplars: bool,
    },
    /// `httpV2`
    HttpV2 {
        /// Trace ids are kept as exemplars.
        exemplars: bool,
    },
    /// `icmp`
    Icmp,
    /// `port-distribution`
    PortDistribution,
    /// `policy`
    Policy,
    /// `sctp`
    Sctp,
}

/// What is wrong with a metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A metric that does not exist.
    #[error("there is no metric `{0}`; it is passed over")]
    Metric(String),
    /// An option that does not exist.
    #[error("metric `{metric}` has no option `{option}`; it is passed over")]
    Option {
        /// The metric's name.
        metric: String,
        /// The option as it was written.
        option: String,
        /// Which of the metric's options it is.
        at: usize,
    },
    /// A context or label that does not exist.
    #[error("metric `{metric}`: `{value}` is no value of {option}; known are {known}")]
    Context {
        /// The metric's name.
        metric: String,
        /// The option as it was written.
        option: String,
        /// What is not known.
        value: String,
        /// What is.
        known: String,
        /// Which of the metric's options it is, and which of its values.
        at: (usize, usize),
    },
    /// One metric given twice.
    #[error("metric `{0}` is given twice; give it once, with all its options")]
    Twice(String),
    /// Two metrics that write the same series.
    #[error("metrics `http` and `httpV2` write the same series; keep one of them")]
    Conflict,
}

impl SpecError {
    /// Whether the metrics work without what it is about.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Metric(_) | Self::Option { .. })
    }

    /// What it is about, as a path below the metric in Cilium's dynamic metrics file.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Option { at, .. } => format!("contextOptions[{at}].name"),
            Self::Context { at: (option, value), .. } => format!("contextOptions[{option}].values[{value}]"),
            Self::Metric(_) | Self::Twice(_) | Self::Conflict => "name".to_owned(),
        }
    }
}

impl Written {
    /// Reads `name:option=value;option=a|b;labelsContext=x,y`. As upstream, an option has the values that are not empty, and an empty one
    /// where it has no `=`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let option = |option: &str| match option.split_once('=') {
            None => (option.to_owned(), vec![String::new()]),
            Some((name, values)) => {
                let between = if name.eq_ignore_ascii_case("labelsContext") { ',' } else { '|' };
                (name.to_owned(), values.split(between).filter(|value| !value.is_empty()).map(str::to_owned).collect())
            }
        };
        Self { name: name.to_owned(), options: options.split(';').filter(|option| !option.is_empty()).map(option).collect() }
    }

    /// The family of this name, and the names of the options that are its own.
    fn family(&self) -> Option<(Family, &'static [&'static str])> {
        let of = |wanted: &str| self.options.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let has = |wanted: &str| of(wanted).is_some();
        let exemplars = of("exemplars").is_some_and(|(_, values)| values.first().is_some_and(|value| value == "true"));
        Some(match self.name.as_str() {
            "dns" => (Family::Dns { query: has("query"), ignore_aaaa: has("ignoreAAAA") }, &["query", "ignoreAAAA"]),
            "drop" => (Family::Drop, &[]),
            "tcp" => (Family::Tcp, &[]),
            "flow" => (Family::Flow, &[]),
            "flows-to-world" => (
                Family::FlowsToWorld { any_drop: has("any-drop"), port: has("port"), syn_only: has("syn-only") },
                &["any-drop", "port", "syn-only"],
            ),
            "http" => (Family::Http { exemplars }, &["exemplars"]),
            "httpV2" => (Family::HttpV2 { exemplars }, &["exemplars"]),
            "icmp" => (Family::Icmp, &[]),
            "port-distribution" => (Family::PortDistribution, &[]),
            "policy" => (Family::Policy, &[]),
            "sctp" => (Family::Sctp, &[]),
            _ => return None,
        })
    }
}

/// All metrics that are wanted, in the order they were given.
#[derive(Clone, Debug, Default)]
pub struct Specs(pub Vec<Spec>);

impl Specs {
    /// Adds a metric. Returns everything that is wrong with it; it is added where all of that is harmless and the metric exists.
    pub fn add(&mut self, written: &Written, filters: Option<Filters>) -> Vec<SpecError> {
        let name = || written.name.clone();
        let Some((family, own)) = written.family() else { return vec![SpecError::Metric(name())] };
        let mut errors = Vec::new();
        let is_http = |family: &Family| matches!(family, Family::Http { .. } | Family::HttpV2 { .. });
        if self.0.iter().any(|known| std::mem::discriminant(&known.family) == std::mem::discriminant(&family)) {
            errors.push(SpecError::Twice(name()));
        } else if is_http(&family) && self.0.iter().any(|known| is_http(&known.family)) {
            errors.push(SpecError::Conflict);
        }
        let mut context = Context::default();
        for (at, (option, values)) in written.options.iter().enumerate() {
            match context.set(option, values) {
                Ok(taken) => {
                    if !taken && !own.iter().any(|known| known.eq_ignore_ascii_case(option)) {
                        errors.push(SpecError::Option { metric: name(), option: option.clone(), at });
                    }
                }
                Err((value, known)) => {
                    let (option, unknown) = (option.clone(), values.get(value).cloned().unwrap_or_default());
                    errors.push(SpecError::Context { metric: name(), option, value: unknown, known, at: (at, value) });
                }
            }
        }
        if errors.iter().all(SpecError::is_harmless) {
            self.0.push(Spec { family, context, filters: filters.map(Arc::new) });
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metrics of texts in the static syntax, and what is wrong with them.
    fn read(text: &str) -> (Vec<Spec>, Vec<SpecError>) {
        let mut specs = Specs::default();
        let errors = text.split_whitespace().flat_map(|text| specs.add(&Written::parse(text), None)).collect();
        (specs.0, errors)
    }

    #[test]
    fn the_syntax_of_cilium_is_read() {
        let (specs, errors) = read(
            "dns:query;ignoreAAAA drop tcp flows-to-world:any-drop;port;syn-only httpV2:exemplars=true;labelsContext=source_ip,traffic_direction",
        );
        let families: Vec<Family> = specs.iter().map(|spec| spec.family).collect();
        assert_eq!(
            families,
            [
                Family::Dns { query: true, ignore_aaaa: true },
                Family::Drop,
                Family::Tcp,
                Family::FlowsToWorld { any_drop: true, port: true, syn_only: true },
                Family::HttpV2 { exemplars: true }
            ]
        );
        assert_eq!(specs[4].context.names(), ["source_ip", "traffic_direction"]);
        assert!(errors.is_empty());
    }

    #[test]
    fn options_are_taken_apart_as_upstream_does() {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        for (text, expected) in [
            ("drop", vec![]),
            ("drop:", vec![]),
            ("drop:;a;;", vec![("a", values(&[""]))]),
            ("drop:a=", vec![("a", vec![])]),
            ("drop:a=x|y,z||", vec![("a", values(&["x", "y,z"]))]),
            ("drop:LabelsContext=x|y,z,", vec![("LabelsContext", values(&["x|y", "z"]))]),
            ("drop:a=b=c:d", vec![("a", values(&["b=c:d"]))]),
        ] {
            let expected = expected.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
            assert_eq!(Written::parse(text), Written { name: "drop".into(), options: expected }, "{text}");
        }
    }

    #[test]
    fn exemplars_are_kept_where_the_first_word_of_the_first_such_option_says_so() {
        for (options, expected) in [
            ("", false),
            (":exemplars", false),
            (":exemplars=true|x", true),
            (":Exemplars=TRUE", false),
            (":exemplars=x;exemplars=true", false),
        ] {
            let (specs, _) = read(&format!("http{options}"));
            assert_eq!(specs[0].family, Family::Http { exemplars: expected }, "{options}");
        }
    }

    #[test]
    fn unknown_metrics_and_options_are_passed_over_with_a_warning() {
        let (specs, errors) = read("kafka drop:colour=red kafka");
        assert_eq!((specs.len(), errors.iter().all(SpecError::is_harmless)), (1, true));
        let said: Vec<String> = errors.iter().map(|error| format!("{}: {error}", error.path())).collect();
        let kafka = "name: there is no metric `kafka`; it is passed over";
        assert_eq!(said, [kafka, "contextOptions[0].name: metric `drop` has no option `colour`; it is passed over", kafka]);
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_the_reason() {
        for (text, path, reason) in [
            (
                "drop:query;sourceContext=pod|pot",
                "contextOptions[1].values[1]",
                "metric `drop`: `pot` is no value of sourceContext; known are identity, namespace, pod,",
            ),
            ("drop:sourceContext", "contextOptions[0].values[0]", "metric `drop`: `` is no value of sourceContext; known are identity,"),
            (
                "drop:labelsContext=source_pot",
                "contextOptions[0].values[0]",
                "metric `drop`: `source_pot` is no value of labelsContext; known are source_ip,",
            ),
            ("drop drop:sourceContext=pod", "name", "metric `drop` is given twice"),
            ("http httpV2", "name", "metrics `http` and `httpV2` write the same series"),
            ("httpV2 http", "name", "metrics `http` and `httpV2` write the same series"),
        ] {
            let errors = read(text).1;
            let [error] = errors.iter().filter(|error| !error.is_harmless()).collect::<Vec<_>>()[..] else { panic!("{errors:?}") };
            assert!(error.to_string().starts_with(reason), "{text}: {error}");
            assert_eq!(error.path(), path, "{text}");
        }
    }

    #[test]
    fn the_default_set_is_valid() {
        let (specs, errors) = read(&crate::config::settings::DEFAULT_METRICS.join(" "));
        assert_eq!((specs.len(), errors.len()), (6, 0));
    }
}
