//! One compiled field of a filter, and what it says of an event.
//!
//! The tests of a filter are held in the order of [`Test::cost`], which never changes what they say together: none has an effect, and the only
//! one that can fail, CEL, counts a failure as "no".

use super::address::Addresses;
use super::cel::Program;
use super::flow_filter::EventTypeFilter;
use super::glob::{Glob, NodePattern};
use super::http::{StatusCodes, has_header, method_is};
use super::label::Selector;
use super::name::NamePattern;
use super::protocol::{Protocols, ports};
use super::re2::Pattern;
use super::{Answer, UnknownPorts, url};
use crate::flow::{
    Dns, DropReason, Endpoint, Event, Flags, Flow, Http, HttpHeader, IpVersion, Protocol, Record, Texts, TrafficDirection, Verdict,
};

/// Which end of a flow a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// Which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressOf {
    Source,
    SourceTranslated,
    Destination,
}

/// Whose labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelsOf {
    End(End),
    Node,
}

/// What a workload has to be called; empty members don't count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkloadPattern {
    pub(super) name: String,
    pub(super) kind: String,
}

/// What an interface has to be; zero and empty members don't count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InterfacePattern {
    pub(super) index: u32,
    pub(super) name: String,
}

#[derive(Debug)]
pub(super) enum Test {
    Verdict(Vec<Verdict>),
    DropReason(Vec<DropReason>),
    Direction(Vec<TrafficDirection>),
    /// Whether true and whether false is wanted.
    Reply(bool, bool),
    Encrypted(bool, bool),
    IpVersion(Vec<IpVersion>),
    EventType(Vec<EventTypeFilter<'static>>),
    Identity(End, Vec<u32>),
    Protocol(Protocols),
    Port(End, Vec<u16>),
    Address(AddressOf, Addresses),
    ClusterName(End, Vec<String>),
    Pod(End, Vec<NamePattern>),
    Service(End, Vec<NamePattern>),
    Workload(End, Vec<WorkloadPattern>),
    Interface(Vec<InterfacePattern>),
    NodeName(Vec<NodePattern>),
    Fqdn(End, Vec<Glob>),
    Labels(LabelsOf, Vec<Selector>),
    IpTraceId(Vec<u64>),
    TcpFlags(Vec<Flags>),
    Uuid(Vec<String>),
    TraceId(Vec<String>),
    HttpStatus(StatusCodes),
    HttpMethod(Vec<String>),
    HttpHeader(Vec<HttpHeader<'static>>),
    DnsQuery(Vec<Pattern>),
    HttpUrl(Vec<Pattern>),
    HttpPath(Vec<Pattern>),
    /// Expressions, and whether one of them reads what varies per event, and whether one reads a port.
    Cel {
        programs: Vec<Program>,
        per_event: bool,
        ports: bool,
    },
}

impl Test {
    /// Whether the answer may differ between events of one cached flow.
    pub(super) fn is_per_event(&self) -> bool {
        match self {
            Self::Protocol(protocols) => protocols.look_at_layer7(),
            Self::Cel { per_event, .. } => *per_event,
            Self::IpTraceId(_)
            | Self::TcpFlags(_)
            | Self::Uuid(_)
            | Self::TraceId(_)
            | Self::HttpStatus(_)
            | Self::HttpMethod(_)
            | Self::HttpHeader(_)
            | Self::DnsQuery(_)
            | Self::HttpUrl(_)
            | Self::HttpPath(_) => true,
            _ => false,
        }
    }

    /// Rank by cost: numbers, then texts, then lists of texts, then patterns and expressions.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::Verdict(_) | Self::DropReason(_) | Self::Direction(_) | Self::Reply(..) | Self::Encrypted(..) | Self::IpVersion(_) => 0,
            Self::EventType(_) | Self::Identity(..) | Self::Protocol(_) | Self::Port(..) | Self::TcpFlags(_) | Self::IpTraceId(_) => 1,
            Self::ClusterName(..) | Self::Pod(..) | Self::Service(..) | Self::Interface(_) | Self::Uuid(_) | Self::TraceId(_) => 2,
            Self::HttpStatus(_) | Self::HttpMethod(_) | Self::Workload(..) => 3,
            Self::Address(..) | Self::NodeName(_) | Self::HttpHeader(_) => 4,
            Self::Fqdn(..) | Self::Labels(..) => 5,
            Self::DnsQuery(_) | Self::HttpUrl(_) => 6,
            Self::HttpPath(_) => 7,
            Self::Cel { .. } => 8,
        }
    }

    /// What the test says of a flow some of whose ports may not be known.
    pub(super) fn answer(&self, flow: &Flow<'_>, unknown: UnknownPorts) -> Answer {
        let open = match self {
            Self::Port(End::Source, _) => unknown.source && ports(flow).is_some(),
            Self::Port(End::Destination, _) => unknown.destination && ports(flow).is_some(),
            Self::Cel { ports, .. } => *ports && (unknown.source || unknown.destination),
            _ => false,
        };
        if open { Answer::Unknown } else { Answer::from(self.holds(flow)) }
    }

    /// Whether the flow passes.
    pub(super) fn holds(&self, flow: &Flow<'_>) -> bool {
        match self {
            Self::Verdict(verdicts) => verdicts.contains(&flow.verdict),
            Self::DropReason(reasons) => flow.verdict == Verdict::DROPPED && reasons.contains(&flow.drop_reason_desc),
            Self::Direction(directions) => directions.contains(&flow.traffic_direction),
            Self::Reply(yes, no) => match flow.is_reply {
                Some(true) => *yes,
                Some(false) => *no,
                None => *no && flow.verdict == Verdict::DROPPED,
            },
            Self::Encrypted(yes, no) => {
                let encrypted = flow.ip.as_ref().is_some_and(|ip| ip.encrypted);
                if encrypted { *yes } else { *no }
            }
            Self::IpVersion(versions) => versions.contains(&flow.ip.as_ref().map_or_else(IpVersion::default, |ip| ip.ip_version)),
            Self::EventType(types) => {
                flow.event_type.as_ref().is_some_and(|t| types.iter().any(|wanted| type_is(wanted, t.r#type, t.sub_type)))
            }
            Self::Identity(end, identities) => end.of(flow).is_some_and(|e| identities.contains(&e.identity)),
            Self::Protocol(protocols) => protocols.matches(flow),
            Self::Port(End::Source, wanted) => ports(flow).is_some_and(|(source, _)| wanted.contains(&source)),
            Self::Port(End::Destination, wanted) => ports(flow).is_some_and(|(_, destination)| wanted.contains(&destination)),
            Self::Address(of, addresses) => flow.ip.as_ref().is_some_and(|ip| {
                addresses.matches(match of {
                    AddressOf::Source => &ip.source,
                    AddressOf::SourceTranslated => &ip.source_xlated,
                    AddressOf::Destination => &ip.destination,
                })
            }),
            Self::ClusterName(end, names) => end.of(flow).is_some_and(|e| names.iter().any(|name| *name == e.cluster_name)),
            Self::Pod(end, pods) => end.of(flow).is_some_and(|e| pods.iter().any(|pod| pod.matches(&e.namespace, &e.pod_name))),
            Self::Service(end, services) => {
                let service = match end {
                    End::Source => flow.source_service.as_ref(),
                    End::Destination => flow.destination_service.as_ref(),
                };
                service.is_some_and(|s| services.iter().any(|wanted| wanted.matches(&s.namespace, &s.name)))
            }
            Self::Workload(end, workloads) => end.of(flow).is_some_and(|e| has_workload(e, workloads)),
            Self::Interface(interfaces) => flow.interface.as_ref().is_some_and(|interface| {
                interfaces.iter().any(|wanted| {
                    (wanted.index == 0 || wanted.index == interface.index) && (wanted.name.is_empty() || wanted.name == interface.name)
                })
            }),
            Self::NodeName(patterns) => patterns.iter().any(|pattern| pattern.matches(&flow.node_name)),
            Self::Fqdn(End::Source, globs) => any_name(&flow.source_names, globs),
            Self::Fqdn(End::Destination, globs) => any_name(&flow.destination_names, globs),
            Self::Labels(of, selectors) => {
                let empty = Texts::new();
                let labels = match of {
                    LabelsOf::Node => &flow.node_labels,
                    LabelsOf::End(end) => end.of(flow).map_or(&empty, |e| &e.labels),
                };
                selectors.iter().any(|selector| selector.matches(labels.iter()))
            }
            _ => self.holds_for_event(flow),
        }
    }

    /// The tests on what may be another in every event of a flow, and CEL.
    fn holds_for_event(&self, flow: &Flow<'_>) -> bool {
        match self {
            Self::IpTraceId(ids) => ids.contains(&flow.ip_trace_id.as_ref().map_or(0, |id| id.trace_id)),
            Self::TcpFlags(wanted) => match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
                Some(Protocol::Tcp(tcp)) => tcp.flags.as_ref().is_some_and(|flags| wanted.iter().any(|set| flags.set.has(*set))),
                _ => false,
            },
            Self::Uuid(uuids) => uuids.iter().any(|uuid| *uuid == flow.uuid),
            Self::TraceId(ids) => {
                let id = flow.trace_context.as_ref().and_then(|c| c.parent.as_ref()).map_or("", |p| p.trace_id.as_ref());
                ids.iter().any(|wanted| wanted == id)
            }
            Self::DnsQuery(patterns) => dns(flow).is_some_and(|dns| any_match(patterns, &dns.query)),
            Self::HttpStatus(codes) => http(flow).is_some_and(|http| codes.matches(http.code)),
            Self::HttpMethod(methods) => http(flow).is_some_and(|http| method_is(http, methods)),
            Self::HttpHeader(headers) => http(flow).is_some_and(|http| has_header(http, headers)),
            Self::HttpUrl(patterns) => http(flow).is_some_and(|http| !http.url.is_empty() && any_match(patterns, &http.url)),
            Self::HttpPath(patterns) => http(flow).and_then(|http| url::path(&http.url)).is_some_and(|path| any_match(patterns, &path)),
            Self::Cel { programs, .. } => any_program(programs, Some(flow)),
            // Every other test is one of `holds`.
            _ => false,
        }
    }

    /// Whether an event that is no flow passes (`spec/hubble.md` §3.3).
    pub(super) fn holds_for_other(&self, event: Option<&Event<'_>>) -> bool {
        match self {
            Self::EventType(types) => match event {
                Some(Event::LostEvents(_)) => true,
                Some(Event::AgentEvent(agent)) => types.iter().any(|t| matches!(t.r#type, 0 | AGENT) && sub_type_is(t, agent.r#type.0)),
                Some(Event::DebugEvent(debug)) => types.iter().any(|t| matches!(t.r#type, 0 | DEBUG) && sub_type_is(t, debug.r#type.0)),
                _ => false,
            },
            // No event at all is, to upstream, a flow of which nothing is known, and that is not encrypted.
            Self::Encrypted(_, no) => event.is_none() && *no,
            Self::Labels(_, selectors) => selectors.iter().any(|selector| selector.matches(std::iter::empty())),
            Self::IpTraceId(ids) => ids.contains(&0),
            Self::TraceId(ids) => ids.iter().any(String::is_empty),
            Self::Cel { programs, .. } => any_program(programs, None),
            _ => false,
        }
    }
}

impl End {
    fn of<'f>(self, flow: &'f Flow<'f>) -> Option<&'f Endpoint<'f>> {
        match self {
            Self::Source => flow.source.as_ref(),
            Self::Destination => flow.destination.as_ref(),
        }
    }
}

/// `event_type.type` of debug events.
const DEBUG: i32 = 2;
/// `event_type.type` of agent events.
const AGENT: i32 = 130;

fn type_is(wanted: &EventTypeFilter<'_>, of: i32, sub_type: i32) -> bool {
    (wanted.r#type == 0 || wanted.r#type == of) && sub_type_is(wanted, sub_type)
}

fn sub_type_is(wanted: &EventTypeFilter<'_>, sub_type: i32) -> bool {
    !wanted.match_sub_type || wanted.sub_type == sub_type
}

fn has_workload(endpoint: &Endpoint<'_>, wanted: &[WorkloadPattern]) -> bool {
    endpoint.workloads.iter().any(|workload| {
        wanted.iter().any(|wanted| {
            (wanted.name.is_empty() || wanted.name == workload.name) && (wanted.kind.is_empty() || wanted.kind == workload.kind)
        })
    })
}

fn any_name(names: &Texts<'_>, globs: &[Glob]) -> bool {
    names.iter().any(|name| globs.iter().any(|glob| glob.matches(&name)))
}

fn any_match(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(text))
}

/// True at the first expression that is; an error ends the search, as upstream.
fn any_program(programs: &[Program], flow: Option<&Flow<'_>>) -> bool {
    for program in programs {
        match program.evaluate(flow) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(why) => {
                tracing::debug!(%why, "a CEL filter failed on an event and counts as not matching");
                return false;
            }
        }
    }
    false
}

fn http<'f>(flow: &'f Flow<'f>) -> Option<&'f Http<'f>> {
    match flow.l7.as_ref()?.record.as_ref()? {
        Record::Http(http) => Some(http),
        _ => None,
    }
}

fn dns<'f>(flow: &'f Flow<'f>) -> Option<&'f Dns<'f>> {
    match flow.l7.as_ref()?.record.as_ref()? {
        Record::Dns(dns) => Some(dns),
        _ => None,
    }
}
