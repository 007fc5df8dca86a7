//! Filter flags to FlowFilters: two lists of two sides each, the combinations that are refused, and namespaces that complete names.

use crate::filter::{Experimental, FlowFilter};
use crate::flow::{DropReason, HttpHeader, NetworkInterface, TcpFlags, Texts, TrafficDirection, Verdict};

use super::values;

/// Flags of which no two may be given together.
const CONFLICTS: &[&[&str]] = &[
    &["from-fqdn", "from-ip", "ip", "fqdn", "from-namespace", "namespace", "from-all-namespaces", "all-namespaces"],
    &["from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod"],
    &["to-fqdn", "to-ip", "ip", "fqdn", "to-namespace", "namespace", "to-all-namespaces", "all-namespaces"],
    &["to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod"],
    &["to-pod", "namespace", "all-namespaces"],
    &["from-pod", "namespace", "all-namespaces"],
    &["to-service", "namespace", "all-namespaces"],
    &["from-service", "namespace", "all-namespaces"],
    &["label", "from-label"],
    &["label", "to-label"],
    &["service", "from-service"],
    &["service", "to-service"],
    &["port", "to-port"],
    &["port", "from-port"],
    &["identity", "to-identity"],
    &["identity", "from-identity"],
    &["workload", "to-workload"],
    &["workload", "from-workload"],
    &["encrypted", "unencrypted"],
    &["reply", "not-reply"],
];

/// The flags of one list. A flag without direction fills one side of each filter, every other flag fills both filters.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The source side of flags without direction, and the destination side.
    sides: Option<[FlowFilter<'static>; 2]>,
    namespaces: Vec<String>,
    source_namespaces: Vec<String>,
    destination_namespaces: Vec<String>,
    given: Vec<String>,
}

impl Tracker {
    /// Adds one flag.
    ///
    /// # Errors
    /// What is wrong with its value, or which flag it can't be combined with.
    pub fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        if !self.given.iter().any(|given| given == flag) {
            self.given.push(flag.to_owned());
            self.check_conflicts()?;
        }
        match flag {
            "namespace" => self.namespaces.push(value.to_owned()),
            "from-namespace" => self.source_namespaces.push(value.to_owned()),
            "to-namespace" => self.destination_namespaces.push(value.to_owned()),
            "all-namespaces" => self.namespaces.push(String::new()),
            "from-all-namespaces" => self.source_namespaces.push(String::new()),
            "to-all-namespaces" => self.destination_namespaces.push(String::new()),
            _ => {
                let [source, destination] = self.sides.get_or_insert_default();
                set_sides(flag, value, source, destination)?;
            }
        }
        self.check_namespaces()
    }

    /// The filters of the list: none, one, or two when a flag without direction was given.
    pub fn filters(mut self) -> Vec<FlowFilter<'static>> {
        let none = self.namespaces.is_empty() && self.source_namespaces.is_empty() && self.destination_namespaces.is_empty();
        if self.sides.is_none() && none {
            return Vec::new();
        }
        let [mut left, mut right] = self.sides.take().unwrap_or_default();
        if !self.destination_namespaces.is_empty() {
            complete_destination(&mut left, &self.destination_namespaces);
            complete_destination(&mut right, &self.destination_namespaces);
        }
        if !self.source_namespaces.is_empty() {
            complete_source(&mut left, &self.source_namespaces);
            complete_source(&mut right, &self.source_namespaces);
        }
        if !self.namespaces.is_empty() {
            complete_source(&mut left, &self.namespaces);
            complete_destination(&mut right, &self.namespaces);
        }
        if left == right { vec![left] } else { vec![left, right] }
    }

    fn check_conflicts(&self) -> Result<(), String> {
        for group in CONFLICTS {
            let mut given = group.iter().filter(|flag| self.given.iter().any(|given| given == *flag));
            if let (Some(one), Some(other)) = (given.next(), given.next()) {
                return Err(format!("filters --{one} and --{other} cannot be combined"));
            }
        }
        Ok(())
    }

    fn check_namespaces(&self) -> Result<(), String> {
        for filter in self.sides.iter().flatten() {
            let source = [&filter.source_pod, &filter.source_service];
            let destination = [&filter.destination_pod, &filter.destination_service];
            for names in source.iter().chain(&destination) {
                one_namespace(&self.namespaces, names)?;
            }
            for (namespaces, side) in [(&self.source_namespaces, source), (&self.destination_namespaces, destination)] {
                for names in side {
                    one_namespace(namespaces, names)?;
                }
                same_namespace(side[0], side[1])?;
            }
        }
        Ok(())
    }
}

/// The namespace a name carries; empty when it carries none.
fn namespace_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}

/// Every name that carries a namespace has to carry each of these.
fn one_namespace(namespaces: &[String], names: &Texts<'_>) -> Result<(), String> {
    for namespace in namespaces {
        for name in names {
            let carried = namespace_of(&name);
            if !carried.is_empty() && carried != namespace {
                return Err(format!("namespace conflict: {namespace:?} does not contain {name:?}"));
            }
        }
    }
    Ok(())
}

fn same_namespace(pods: &Texts<'_>, services: &Texts<'_>) -> Result<(), String> {
    for pod in pods {
        let namespace = namespace_of(&pod);
        for service in services {
            if !namespace.is_empty() && namespace_of(&service) != namespace {
                return Err(format!("namespace of service {service:?} conflict with pod {namespace:?}"));
            }
        }
    }
    Ok(())
}

fn complete_source(filter: &mut FlowFilter<'static>, namespaces: &[String]) {
    complete(&mut filter.source_pod, &mut filter.source_service, namespaces);
}

fn complete_destination(filter: &mut FlowFilter<'static>, namespaces: &[String]) {
    complete(&mut filter.destination_pod, &mut filter.destination_service, namespaces);
}

fn complete(pods: &mut Texts<'static>, services: &mut Texts<'static>, namespaces: &[String]) {
    if pods.is_empty() && services.is_empty() {
        pods.push("");
    }
    for names in [pods, services] {
        let mut completed = Texts::new();
        for name in names.iter() {
            if name.contains('/') {
                completed.push(&name);
            } else {
                namespaces.iter().for_each(|namespace| completed.push(&format!("{namespace}/{name}")));
            }
        }
        *names = completed;
    }
}

type Filter = FlowFilter<'static>;
/// A list of one side of a filter.
type SideOf = fn(&mut Filter) -> &mut Texts<'static>;

/// Applies a flag to both filters; `left` takes the source side of a flag without direction, `right` the destination side.
fn set_sides(flag: &str, value: &str, left: &mut Filter, right: &mut Filter) -> Result<(), String> {
    let of_side: Option<[SideOf; 2]> = match flag.trim_start_matches("from-").trim_start_matches("to-") {
        "fqdn" => Some([|f| &mut f.source_fqdn, |f| &mut f.destination_fqdn]),
        "pod" => Some([|f| &mut f.source_pod, |f| &mut f.destination_pod]),
        "ip" => Some([|f| &mut f.source_ip, |f| &mut f.destination_ip]),
        "label" => Some([|f| &mut f.source_label, |f| &mut f.destination_label]),
        "service" => Some([|f| &mut f.source_service, |f| &mut f.destination_service]),
        "port" => Some([|f| &mut f.source_port, |f| &mut f.destination_port]),
        "cluster" => Some([|f| &mut f.source_cluster_name, |f| &mut f.destination_cluster_name]),
        _ => None,
    };
    if let Some([source, destination]) = of_side {
        sided(flag, left, right, |filter| source(filter).push(value), |filter| destination(filter).push(value));
        return Ok(());
    }
    match flag {
        "workload" | "from-workload" | "to-workload" => {
            let workload = values::workload(value);
            let (source, destination) = (workload.clone(), workload);
            sided(flag, left, right, |f| f.source_workload.push(source.clone()), |f| f.destination_workload.push(destination.clone()));
        }
        "identity" | "from-identity" | "to-identity" => {
            let number = values::security_identity(value)?;
            sided(flag, left, right, |f| f.source_identity.push(number), |f| f.destination_identity.push(number));
        }
        _ => {
            set_both(flag, value, left)?;
            set_both(flag, value, right)?;
        }
    }
    Ok(())
}

fn sided(flag: &str, left: &mut Filter, right: &mut Filter, source: impl Fn(&mut Filter), destination: impl Fn(&mut Filter)) {
    if flag.starts_with("from-") {
        source(left);
        source(right);
    } else if flag.starts_with("to-") {
        destination(left);
        destination(right);
    } else {
        source(left);
        destination(right);
    }
}

/// Applies a flag that knows no sides to one filter.
fn set_both(flag: &str, value: &str, filter: &mut Filter) -> Result<(), String> {
    let owned = || value.to_owned().into();
    match flag {
        "uuid" => filter.uuid.push(value),
        "snat-ip" => filter.source_ip_xlated.push(value),
        "ipv4" => filter.ip_version.push(values::ip_version("v4")),
        "ipv6" => filter.ip_version.push(values::ip_version("v6")),
        "ip-version" => filter.ip_version.push(values::ip_version(value)),
        "trace-id" => filter.trace_id.push(value),
        "ip-trace-id" => {
            let id = values::decimal(value).filter(|id| *id > 0);
            filter.ip_trace_id.push(id.ok_or("invalid --ip-trace-id value; must be a number greater than 0")?);
        }
        "verdict" => filter.verdict.push(Verdict::from_name(value).ok_or_else(|| format!("invalid --verdict value: {value}"))?),
        "drop-reason-desc" => {
            filter.drop_reason_desc.push(DropReason::from_name(value).ok_or_else(|| format!("invalid --drop-reason-desc value: {value}"))?);
        }
        "http-status" => filter.http_status_code.push(value),
        "http-method" => filter.http_method.push(value),
        "http-path" => filter.http_path.push(value),
        "http-url" => filter.http_url.push(value),
        "http-header" => {
            let (key, value) = value.split_once(':').ok_or_else(|| format!("invalid http-header value {value:?}, expected name:value"))?;
            filter.http_header.push(HttpHeader { key: key.to_owned().into(), value: value.to_owned().into(), ..HttpHeader::default() });
        }
        "type" => filter.event_type.push(values::event_type(value)?),
        "protocol" => filter.protocol.push(value),
        "node-name" => filter.node_name.push(value),
        "node-label" => filter.node_labels.push(value),
        "tcp-flags" => filter.tcp_flags.push(TcpFlags::from(values::tcp_flags(value)?)),
        "traffic-direction" => filter.traffic_direction.push(match value.to_lowercase().as_str() {
            "ingress" => TrafficDirection::INGRESS,
            "egress" => TrafficDirection::EGRESS,
            other => return Err(format!("{other}: invalid traffic direction, expected ingress or egress")),
        }),
        "cel-expression" => filter.experimental.get_or_insert_with(Experimental::default).cel_expression.push(value),
        "interface" => filter.interface.push(NetworkInterface { name: owned(), ..NetworkInterface::default() }),
        "encrypted" => filter.encrypted.push(true),
        "unencrypted" => filter.encrypted.push(false),
        "reply" => filter.reply.push(true),
        "not-reply" => filter.reply.push(false),
        other => return Err(format!("--{other} is no filter")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filters of flags written as `flag=value`, or why they are refused.
    fn filters(flags: &[&str]) -> Result<Vec<String>, String> {
        let mut tracker = Tracker::default();
        for flag in flags {
            let (flag, value) = flag.split_once('=').unwrap();
            tracker.set(flag, value)?;
        }
        Ok(tracker.filters().iter().map(FlowFilter::to_json).collect())
    }

    #[test]
    fn a_flag_without_direction_makes_a_filter_for_each_side() {
        assert_eq!(
            filters(&["pod=a/x", "verdict=DROPPED"]).unwrap(),
            [r#"{"source_pod":["a/x"],"verdict":["DROPPED"]}"#, r#"{"destination_pod":["a/x"],"verdict":["DROPPED"]}"#]
        );
        assert_eq!(filters(&["from-ip=10.0.0.1", "from-ip=10.0.0.2"]).unwrap(), [r#"{"source_ip":["10.0.0.1","10.0.0.2"]}"#]);
        assert_eq!(filters(&["type=trace:to-stack"]).unwrap(), [r#"{"event_type":[{"type":4,"match_sub_type":true,"sub_type":3}]}"#]);
    }

    #[test]
    fn namespaces_complete_names_that_carry_none() {
        assert_eq!(filters(&["from-namespace=a", "from-namespace=b", "from-pod=x"]).unwrap(), [r#"{"source_pod":["a/x","b/x"]}"#]);
        assert_eq!(filters(&["namespace=a"]).unwrap(), [r#"{"source_pod":["a/"]}"#, r#"{"destination_pod":["a/"]}"#]);
        assert_eq!(filters(&["to-all-namespaces=true"]).unwrap(), [r#"{"destination_pod":["/"]}"#]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for flags in [
            &["ip=10.0.0.1", "from-pod=a/x"][..],
            &["namespace=a", "to-service=x"],
            &["label=a", "from-label=b"],
            &["encrypted=true", "unencrypted=true"],
            &["from-namespace=a", "from-pod=b/x"],
            &["from-pod=a/x", "from-service=b/y"],
            &["ip-trace-id=0"],
            &["verdict=dropped"],
            &["http-header=x"],
            &["identity=unknown"],
        ] {
            assert!(filters(flags).is_err(), "{flags:?}");
        }
    }
}
