//! Which metrics are wanted: Cilium's `hubble-metrics` syntax (Hubble digest §8.2), `name:option=value;option=a|b;labelsContext=x,y`.
//!
//! As upstream, names count in their case, options and their values do not, and what nobody knows is passed over with a warning: an
//! installation's list may name metrics of a newer or older release. A context that does not exist is an error, because a label would be missing.

use super::context::Context;

/// One family of metrics with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What is counted.
    pub family: Family,
    /// Which labels say between whom.
    pub context: Context,
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

/// Why a specification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
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
    },
    /// One metric given twice.
    #[error("metric `{0}` is given twice; join their options with ;")]
    Twice(String),
    /// Two metrics that write the same series.
    #[error("metrics `http` and `httpV2` write the same series; keep one of them")]
    Conflict,
}

/// All metrics that are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Specs {
    /// In the order they were given.
    pub list: Vec<Spec>,
    /// What was passed over, as sentences.
    pub warnings: Vec<String>,
}

impl Specs {
    /// Reads specifications; each text may hold several, between spaces.
    ///
    /// # Errors
    /// For a context that does not exist, a metric given twice, and `http` beside `httpV2`.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, SpecError> {
        let mut specs = Self::default();
        for text in texts.iter().flat_map(|text| text.as_ref().split_whitespace()) {
            specs.add(text)?;
        }
        let has = |wanted: fn(&Family) -> bool| specs.list.iter().any(|spec| wanted(&spec.family));
        if has(|family| matches!(family, Family::Http { .. })) && has(|family| matches!(family, Family::HttpV2 { .. })) {
            return Err(SpecError::Conflict);
        }
        Ok(specs)
    }

    fn add(&mut self, text: &str) -> Result<(), SpecError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let with_value = |option| str::split_once(option, '=').map_or((option, None), |(name, value)| (name, Some(value)));
        let options: Vec<(&str, Option<&str>)> = options.split(';').filter(|option| !option.is_empty()).map(with_value).collect();
        let has = |wanted: &str| options.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let exemplars = options.iter().any(|(name, value)| name.eq_ignore_ascii_case("exemplars") && *value == Some("true"));
        let (family, own): (Family, &[&str]) = match name {
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
            _ => {
                self.warnings.push(format!("there is no metric `{name}`; it is passed over"));
                return Ok(());
            }
        };
        if self.list.iter().any(|known| std::mem::discriminant(&known.family) == std::mem::discriminant(&family)) {
            return Err(SpecError::Twice(name.to_owned()));
        }
        let mut context = Context::default();
        for (option, value) in options {
            let refused = |(value, known)| SpecError::Context { metric: name.to_owned(), option: option.to_owned(), value, known };
            let taken = context.set(option, value).map_err(refused)?;
            if !taken && !own.iter().any(|known| known.eq_ignore_ascii_case(option)) {
                self.warnings.push(format!("metric `{name}` has no option `{option}`; it is passed over"));
            }
        }
        self.list.push(Spec { family, context });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_cilium_is_read() {
        let specs = Specs::parse(&[
            "dns:query;ignoreAAAA",
            "drop tcp",
            "flows-to-world:any-drop;port;syn-only",
            "httpV2:exemplars=true;labelsContext=source_ip,traffic_direction",
        ])
        .unwrap();
        let families: Vec<Family> = specs.list.iter().map(|spec| spec.family).collect();
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
        assert_eq!(specs.list[4].context.names(), ["source_ip", "traffic_direction"]);
        assert!(specs.warnings.is_empty());
    }

    #[test]
    fn unknown_metrics_and_options_are_passed_over_with_a_warning() {
        let specs = Specs::parse(&["kafka drop:colour=red"]).unwrap();
        assert_eq!(specs.list.len(), 1);
        assert_eq!(
            specs.warnings,
            ["there is no metric `kafka`; it is passed over", "metric `drop` has no option `colour`; it is passed over"]
        );
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_the_reason() {
        for (text, reason) in [
            ("drop:sourceContext=pot", "metric `drop`: `pot` is no value of sourceContext; known are identity, namespace, pod,"),
            ("drop:sourceContext", "metric `drop`: `` is no value of sourceContext; known are identity,"),
            ("drop:labelsContext=source_pot", "metric `drop`: `source_pot` is no value of labelsContext; known are source_ip,"),
            ("drop drop:sourceContext=pod", "metric `drop` is given twice"),
            ("http httpV2", "metrics `http` and `httpV2` write the same series"),
        ] {
            let error = Specs::parse(&[text]).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_default_set_is_valid() {
        let specs = Specs::parse(&crate::config::settings::DEFAULT_METRICS).unwrap();
        assert_eq!((specs.list.len(), specs.warnings.len()), (6, 0));
    }
}
