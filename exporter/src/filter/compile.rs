//! From a FlowFilter to its tests, cheap ones first; every value that can't be built is reported, not only the first.

use super::address::Addresses;
use super::cel::Program;
use super::error::{Advice, BuildError, List, Place};
use super::flow_filter::FlowFilter;
use super::glob::{Glob, NodePattern};
use super::http::StatusCodes;
use super::label::Selector;
use super::name::NamePattern;
use super::protocol::{Protocols, port};
use super::re2::Pattern;
use super::requirement::{reads_port, varies_per_event};
use super::test::{AddressOf, End, InterfacePattern, LabelsOf, Test, WorkloadPattern};
use crate::flow::Texts;
use crate::flow::value::IntoStatic;

/// `event_type.type` of layer 7 events.
const LAYER7: i32 = 129;

/// A test and the field it was made from.
pub(super) type Named = (&'static str, Test);

/// What came of compiling one filter.
pub(super) struct Compiler<'e> {
    list: List,
    filter: usize,
    tests: Vec<Named>,
    errors: &'e mut Vec<BuildError>,
    advice: &'e mut Vec<Advice>,
}

/// Compiles one filter; what is wrong and what is worth saying is added to `errors` and `advice`.
pub(super) fn compile(
    list: List,
    filter: usize,
    of: &FlowFilter<'_>,
    errors: &mut Vec<BuildError>,
    advice: &mut Vec<Advice>,
) -> Vec<Named> {
    let mut compiler = Compiler { list, filter, tests: Vec::new(), errors, advice };
    compiler.plain(of);
    compiler.ends(of);
    compiler.layers(of);
    compiler.layer7(of);
    compiler.tests.sort_by_key(|(_, test)| (test.is_per_event(), test.cost()));
    compiler.tests
}

impl Compiler<'_> {
    fn place(&self, field: &str, element: Option<usize>) -> Place {
        let field = element.map_or_else(|| field.to_owned(), |n| format!("{field}[{n}]"));
        Place { list: self.list, filter: self.filter, field }
    }

    fn error(&mut self, field: &str, element: Option<usize>, value: &str, why: String) {
        let place = self.place(field, element);
        self.errors.push(BuildError { place, value: value.to_owned(), why });
    }

    fn push(&mut self, field: &'static str, test: Test) {
        self.tests.push((field, test));
    }

    /// A list of texts, each of which `parse` turns into what the test needs.
    fn texts<T>(
        &mut self,
        field: &'static str,
        texts: &Texts<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
        test: impl FnOnce(Vec<T>) -> Test,
    ) {
        if texts.is_empty() {
            return;
        }
        let mut parsed = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            match parse(&text) {
                Ok(value) => parsed.push(value),
                Err(why) => self.error(field, Some(n), &text, why),
            }
        }
        self.push(field, test(parsed));
    }

    /// A list of values that can't be wrong.
    fn values<T: Clone>(&mut self, field: &'static str, values: &[T], test: impl FnOnce(Vec<T>) -> Test) {
        if !values.is_empty() {
            self.push(field, test(values.to_vec()));
        }
    }

    fn plain(&mut self, of: &FlowFilter<'_>) {
        let any = |text: &str| Ok(text.to_owned());
        self.texts("uuid", &of.uuid, any, Test::Uuid);
        self.values("verdict", &of.verdict, Test::Verdict);
        self.values("drop_reason_desc", &of.drop_reason_desc, Test::DropReason);
        self.values("traffic_direction", &of.traffic_direction, Test::Direction);
        self.values("reply", &of.reply, |wanted| Test::Reply(wanted.contains(&true), wanted.contains(&false)));
        self.values("encrypted", &of.encrypted, |wanted| Test::Encrypted(wanted.contains(&true), wanted.contains(&false)));
        self.values("event_type", &of.event_type, |types| Test::EventType(types.into_static()));
        self.values("interface", &of.interface, |interfaces| {
            Test::Interface(interfaces.iter().map(|i| InterfacePattern { index: i.index, name: i.name.to_string() }).collect())
        });
        self.texts("node_name", &of.node_name, NodePattern::parse, Test::NodeName);
        self.texts("node_labels", &of.node_labels, Selector::parse, |selectors| Test::Labels(LabelsOf::Node, selectors));
        self.texts("trace_id", &of.trace_id, any, Test::TraceId);
        self.values("ip_trace_id", &of.ip_trace_id, Test::IpTraceId);
        if let Some(experimental) = &of.experimental {
            let compile = |text: &str| Program::compile(text).map_err(|e| e.to_string());
            self.texts("experimental.cel_expression", &experimental.cel_expression, compile, |programs| {
                let paths: Vec<String> = programs.iter().flat_map(Program::paths).collect();
                Test::Cel { programs, per_event: paths.iter().any(|p| varies_per_event(p)), ports: paths.iter().any(|p| reads_port(p)) }
            });
        }
    }

    fn ends(&mut self, of: &FlowFilter<'_>) {
        let workload = |w: &crate::flow::Workload<'_>| WorkloadPattern { name: w.name.to_string(), kind: w.kind.to_string() };
        self.values("source_workload", &of.source_workload, |all| Test::Workload(End::Source, all.iter().map(workload).collect()));
        self.values("destination_workload", &of.destination_workload, |all| {
            Test::Workload(End::Destination, all.iter().map(workload).collect())
        });
        self.values("source_identity", &of.source_identity, |all| Test::Identity(End::Source, all));
        self.values("destination_identity", &of.destination_identity, |all| Test::Identity(End::Destination, all));
        self.names("source_pod", &of.source_pod, |all| Test::Pod(End::Source, all));
        self.names("destination_pod", &of.destination_pod, |all| Test::Pod(End::Destination, all));
        self.names("source_service", &of.source_service, |all| Test::Service(End::Source, all));
        self.names("destination_service", &of.destination_service, |all| Test::Service(End::Destination, all));
        self.clusters("source_cluster_name", &of.source_cluster_name, End::Source);
        self.clusters("destination_cluster_name", &of.destination_cluster_name, End::Destination);
        self.texts("source_fqdn", &of.source_fqdn, Glob::parse, |all| Test::Fqdn(End::Source, all));
        self.texts("destination_fqdn", &of.destination_fqdn, Glob::parse, |all| Test::Fqdn(End::Destination, all));
        self.texts("source_label", &of.source_label, Selector::parse, |all| Test::Labels(LabelsOf::End(End::Source), all));
        self.texts("destination_label", &of.destination_label, Selector::parse, |all| Test::Labels(LabelsOf::End(End::Destination), all));
    }

    fn names(&mut self, field: &'static str, names: &Texts<'_>, test: impl FnOnce(Vec<NamePattern>) -> Test) {
        self.texts(field, names, NamePattern::parse, test);
        for (n, name) in names.iter().enumerate() {
            if let Some(why) = NamePattern::advice(&name) {
                let place = self.place(field, Some(n));
                self.advice.push(Advice { place, value: name.into_owned(), why });
            }
        }
    }

    fn clusters(&mut self, field: &'static str, names: &Texts<'_>, end: End) {
        let parse = |name: &str| {
            if name.is_empty() { Err("empty; a cluster has a name".to_owned()) } else { Ok(name.to_owned()) }
        };
        self.texts(field, names, parse, |names| Test::ClusterName(end, names));
        for (n, name) in names.iter().enumerate().filter(|(_, name)| name.contains('*')) {
            let place = self.place(field, Some(n));
            let why = "`*` has no special meaning: cluster names match whole, so list each of them".to_owned();
            self.advice.push(Advice { place, value: name.into_owned(), why });
        }
    }

    fn layers(&mut self, of: &FlowFilter<'_>) {
        self.addresses("source_ip", &of.source_ip, AddressOf::Source);
        self.addresses("source_ip_xlated", &of.source_ip_xlated, AddressOf::SourceTranslated);
        self.addresses("destination_ip", &of.destination_ip, AddressOf::Destination);
        self.values("ip_version", &of.ip_version, Test::IpVersion);
        self.texts("source_port", &of.source_port, port, |all| Test::Port(End::Source, all));
        self.texts("destination_port", &of.destination_port, port, |all| Test::Port(End::Destination, all));
        self.values("tcp_flags", &of.tcp_flags, |all| Test::TcpFlags(all.iter().map(|flags| flags.set).collect()));
        if !of.protocol.is_empty() {
            let mut protocols = Protocols::default();
            for (n, name) in of.protocol.iter().enumerate() {
                if let Err(why) = protocols.add(&name) {
                    self.error("protocol", Some(n), &name, why);
                }
            }
            self.push("protocol", Test::Protocol(protocols));
        }
    }

    fn addresses(&mut self, field: &'static str, texts: &Texts<'_>, which: AddressOf) {
        if texts.is_empty() {
            return;
        }
        let mut addresses = Addresses::default();
        for (n, text) in texts.iter().enumerate() {
            if let Err(why) = addresses.add(&text) {
                self.error(field, Some(n), &text, why);
            } else if let Some(why) = Addresses::advice(&text) {
                let place = self.place(field, Some(n));
                self.advice.push(Advice { place, value: text.into_owned(), why });
            }
        }
        self.push(field, Test::Address(which, addresses));
    }

    fn layer7(&mut self, of: &FlowFilter<'_>) {
        let pattern = |text: &str| Pattern::compile(text).map_err(|e| e.why);
        self.texts("dns_query", &of.dns_query, pattern, Test::DnsQuery);
        let compatible = of.event_type.is_empty() || of.event_type.iter().any(|t| t.r#type == LAYER7);
        for (field, used) in [
            ("http_status_code", !of.http_status_code.is_empty()),
            ("http_method", !of.http_method.is_empty()),
            ("http_path", !of.http_path.is_empty()),
            ("http_url", !of.http_url.is_empty()),
            ("http_header", !of.http_header.is_empty()),
        ] {
            if used && !compatible {
                let why =
                    "goes with `event_type` only if one of its types is 129 (layer 7); add `{type: 129}` there or leave `event_type` out";
                self.error(field, None, "", why.to_owned());
            }
        }
        if !of.http_status_code.is_empty() {
            let mut codes = StatusCodes::default();
            for (n, form) in of.http_status_code.iter().enumerate() {
                if let Err(why) = codes.add(&form) {
                    self.error("http_status_code", Some(n), &form, why);
                }
            }
            self.push("http_status_code", Test::HttpStatus(codes));
        }
        self.texts("http_method", &of.http_method, |text| Ok(text.to_owned()), Test::HttpMethod);
        self.texts("http_path", &of.http_path, pattern, Test::HttpPath);
        self.texts("http_url", &of.http_url, pattern, Test::HttpUrl);
        self.values("http_header", &of.http_header, |headers| Test::HttpHeader(headers.into_static()));
    }
}
