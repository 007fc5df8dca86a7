//! Writes the Prometheus text exposition format, version 0.0.4, or OpenMetrics 1.0 where a scraper asks for it.
//!
//! The two differ in little: OpenMetrics names counters without `_total` in their help, ends in `# EOF`, and has exemplars, which the older format cannot say.
//! A page is built family by family: the caller opens a family, which writes its `# HELP` and `# TYPE` lines once, and then adds samples.
//! Nothing is registered anywhere: the values live where they are counted, and a scrape reads them. That keeps metrics out of the hot path.

use std::fmt::{self, Write};

/// The types of family that this project writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows while the process lives; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Goes up and down under a name that ends in `_total`, as upstream has one: its type is left open.
    Untyped,
    /// Cumulative buckets with `_bucket`, `_sum` and `_count` samples.
    Histogram,
}

/// The formats of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a request's `Accept` header asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A request that stands for a value: its trace, what was measured of it, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The trace's id.
    pub trace_id: Box<str>,
    /// The value.
    pub value: f64,
    /// Unix nanoseconds; 0 when it is not known.
    pub unix_ns: i64,
}

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    format: Format,
}

/// One family of a [`Page`]: samples of one name.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut Page,
    name: &'static str,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty page in this format.
    #[must_use]
    pub fn in_format(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    /// Opens a family: writes its help and type lines.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let (kind, total) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Untyped if self.format == Format::OpenMetrics => ("unknown", ""),
            Kind::Untyped => ("untyped", ""),
            Kind::Histogram => ("histogram", ""),
        };
        let stated = match self.format {
            Format::OpenMetrics => name.strip_suffix(total).unwrap_or(name),
            Format::Prometheus => name,
        };
        // Writing to a String can't fail.
        let _ = write!(self.text, "# HELP {stated} ");
        escape_help(&mut self.text, help);
        let _ = write!(self.text, "\n# TYPE {stated} {kind}\n");
        Family { page: self, name }
    }

    /// Appends a page that was built elsewhere.
    pub fn append(&mut self, other: &str) {
        self.text.push_str(other);
        if !other.is_empty() && !other.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The finished text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Adds one sample. Label values may hold any text; they are escaped.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) -> &mut Self {
        self.sample_with(labels, value, None)
    }

    /// The same with an exemplar.
    pub fn sample_with(&mut self, labels: &[(&str, &str)], value: impl fmt::Display, exemplar: Option<&Exemplar>) -> &mut Self {
        self.suffixed("", labels, value, exemplar)
    }

    /// Adds the samples of one histogram: cumulative counts by upper bound, their sum and their number.
    pub fn histogram(&mut self, labels: &[(&str, &str)], buckets: &[(f64, u64)], sum: f64, count: u64) -> &mut Self {
        self.histogram_with(labels, buckets, sum, count, |_| None)
    }

    /// The same with the exemplar of each bucket, the infinite one last.
    pub fn histogram_with<'e>(
        &mut self,
        labels: &[(&str, &str)],
        buckets: &[(f64, u64)],
        sum: f64,
        count: u64,
        exemplar: impl Fn(usize) -> Option<&'e Exemplar>,
    ) -> &mut Self {
        for (at, (bound, cumulative)) in buckets.iter().enumerate() {
            // OpenMetrics wants a number with a fraction.
            let bound = if self.page.format == Format::OpenMetrics { format!("{bound:?}") } else { bound.to_string() };
            self.suffixed("_bucket", &[labels, &[("le", &bound)]].concat(), cumulative, exemplar(at));
        }
        self.suffixed("_bucket", &[labels, &[("le", "+Inf")]].concat(), count, exemplar(buckets.len()));
        self.suffixed("_sum", labels, sum, None);
        self.suffixed("_count", labels, count, None)
    }

    fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display, exemplar: Option<&Exemplar>) -> &mut Self {
        let text = &mut self.page.text;
        text.push_str(self.name);
        text.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape_label(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = write!(text, " {value}");
        if let (Some(exemplar), Format::OpenMetrics) = (exemplar, self.page.format) {
            text.push_str(" # {traceID=\"");
            escape_label(text, &exemplar.trace_id);
            let _ = write!(text, "\"}} {}", exemplar.value);
            if exemplar.unix_ns > 0 {
                let _ = write!(text, " {}.{:03}", exemplar.unix_ns / 1_000_000_000, exemplar.unix_ns / 1_000_000 % 1000);
            }
        }
        text.push('\n');
        self
    }
}

fn escape_label(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

fn escape_help(text: &mut String, help: &str) {
    for c in help.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_states_its_help_and_type_once_and_escapes_label_values() {
        let mut page = Page::new();
        page.family("flowlog_lines_total", Kind::Counter, "Lines written.").sample(&[("flow_log", "a\"b\\c\nd")], 3).sample(&[], 4);
        assert_eq!(
            page.finish(),
            "# HELP flowlog_lines_total Lines written.\n# TYPE flowlog_lines_total counter\n\
             flowlog_lines_total{flow_log=\"a\\\"b\\\\c\\nd\"} 3\nflowlog_lines_total 4\n"
        );
    }

    #[test]
    fn a_histogram_ends_in_the_infinite_bucket() {
        let mut page = Page::new();
        page.family("x_seconds", Kind::Histogram, "X.").histogram(&[("s", "a")], &[(0.5, 1), (1.0, 3)], 2.5, 4);
        let text = page.finish();
        assert!(text.contains("x_seconds_bucket{s=\"a\",le=\"0.5\"} 1\n"));
        assert!(text.contains("x_seconds_bucket{s=\"a\",le=\"+Inf\"} 4\n"));
        assert!(text.contains("x_seconds_sum{s=\"a\"} 2.5\nx_seconds_count{s=\"a\"} 4\n"));
    }
}
