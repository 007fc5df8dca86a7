//! Labels that say between whom a flow was (Hubble digest §8.3): `sourceContext`, `destinationContext`, their directional forms, and `labelsContext`.

use std::borrow::Cow;

use crate::flow::{Endpoint, Flow, Texts, TrafficDirection};

/// The labels of `labelsContext`, in the order they are written.
const LABELS: [&str; 13] = [
    "source_ip",
    "source_pod",
    "source_namespace",
    "source_workload",
    "source_workload_kind",
    "source_app",
    "destination_ip",
    "destination_pod",
    "destination_namespace",
    "destination_workload",
    "destination_workload_kind",
    "destination_app",
    "traffic_direction",
];

/// Labels of pods that name their application, the recommended one first (Kubernetes, *Recommended Labels*).
const APP_LABELS: [&str; 3] = ["k8s:app.kubernetes.io/name=", "k8s:k8s-app=", "k8s:app="];
const KUBE_APISERVER: &str = "reserved:kube-apiserver";

/// What one end is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identifier {
    Identity,
    Namespace,
    Pod,
    PodName,
    Dns,
    Ip,
    ReservedIdentity,
    Workload,
    WorkloadName,
    App,
}

const IDENTIFIERS: [(&str, Identifier); 10] = [
    ("identity", Identifier::Identity),
    ("namespace", Identifier::Namespace),
    ("pod", Identifier::Pod),
    ("pod-name", Identifier::PodName),
    ("dns", Identifier::Dns),
    ("ip", Identifier::Ip),
    ("reserved-identity", Identifier::ReservedIdentity),
    ("workload", Identifier::Workload),
    ("workload-name", Identifier::WorkloadName),
    ("app", Identifier::App),
];

/// How one end is named: the first identifier that is not empty. The directional lists replace the general one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naming {
    any: Vec<Identifier>,
    egress: Vec<Identifier>,
    ingress: Vec<Identifier>,
}

/// The context of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    source: Naming,
    destination: Naming,
    /// Bit n: the label at position n of `LABELS`.
    labels: u16,
}

/// One end of a flow with what is said of it beside the endpoint.
#[derive(Clone, Copy)]
struct End<'f> {
    endpoint: Option<&'f Endpoint<'f>>,
    ip: &'f str,
    names: &'f Texts<'f>,
}

impl Context {
    /// Takes an option; false when it is none of a context. One without values asks for nothing, as upstream.
    ///
    /// # Errors
    /// Which value is not known, and those that are.
    pub fn set(&mut self, option: &str, values: &[String]) -> Result<bool, (usize, String)> {
        let mut values = values.iter().enumerate();
        let naming = match option.to_ascii_lowercase().as_str() {
            "sourcecontext" => &mut self.source.any,
            "sourceegresscontext" => &mut self.source.egress,
            "sourceingresscontext" => &mut self.source.ingress,
            "destinationcontext" => &mut self.destination.any,
            "destinationegresscontext" => &mut self.destination.egress,
            "destinationingresscontext" => &mut self.destination.ingress,
            "labelscontext" => {
                self.labels = values.try_fold(0, |labels, (n, label)| {
                    let at = LABELS.iter().position(|known| known == label).ok_or_else(|| (n, LABELS.join(", ")))?;
                    Ok::<_, (usize, String)>(labels | 1 << at)
                })?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let known = || IDENTIFIERS.map(|(name, _)| name).join(", ");
        *naming = values.map(|(n, value)| identifier(value).ok_or_else(|| (n, known()))).collect::<Result<_, _>>()?;
        Ok(true)
    }

    /// Names of the labels.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.wanted_labels().collect();
        names.extend(self.source.is_set().then_some("source"));
        names.extend(self.destination.is_set().then_some("destination"));
        names
    }

    /// Values of the labels, in the order of [`Context::names`]. `inverted` takes a response for its request: the ends change places.
    pub fn values<'f>(&self, flow: &'f Flow<'_>, inverted: bool, values: &mut Vec<Cow<'f, str>>) {
        let ip = flow.ip.as_ref();
        let source = End { endpoint: flow.source.as_ref(), ip: ip.map_or("", |ip| &ip.source), names: &flow.source_names };
        let destination =
            End { endpoint: flow.destination.as_ref(), ip: ip.map_or("", |ip| &ip.destination), names: &flow.destination_names };
        let ends = if inverted { [destination, source] } else { [source, destination] };
        for label in self.wanted_labels() {
            values.push(label_value(label, &ends, flow.traffic_direction));
        }
        // The naming belongs to the flow's own source and destination; only the labels change places.
        let named = [self.source.name(&source, flow.traffic_direction), self.destination.name(&destination, flow.traffic_direction)];
        let [first, second] = named;
        let (first, second) = if inverted { (second, first) } else { (first, second) };
        values.extend(self.source.is_set().then_some(first));
        values.extend(self.destination.is_set().then_some(second));
    }

    fn wanted_labels(&self) -> impl Iterator<Item = &'static str> + '_ {
        LABELS.into_iter().enumerate().filter(|(at, _)| self.labels >> at & 1 != 0).map(|(_, label)| label)
    }
}

impl Naming {
    fn is_set(&self) -> bool {
        !(self.any.is_empty() && self.egress.is_empty() && self.ingress.is_empty())
    }

    fn name<'f>(&self, end: &End<'f>, direction: TrafficDirection) -> Cow<'f, str> {
        let list = match direction {
            TrafficDirection::INGRESS if !self.ingress.is_empty() => &self.ingress,
            TrafficDirection::EGRESS if !self.egress.is_empty() => &self.egress,
            _ => &self.any,
        };
        list.iter().map(|identifier| end.called(*identifier)).find(|name| !name.is_empty()).unwrap_or_default()
    }
}

impl<'f> End<'f> {
    fn called(&self, identifier: Identifier) -> Cow<'f, str> {
        match identifier {
            Identifier::Dns => return join(self.names),
            Identifier::Ip => return self.ip.into(),
            _ => {}
        }
        let Some(endpoint) = self.endpoint else { return Cow::default() };
        match identifier {
            Identifier::Identity => join(&endpoint.labels),
            Identifier::Namespace => endpoint.namespace.as_ref().into(),
            // As upstream, an end that has a namespace and no pod is called `namespace/`.
            Identifier::Pod => within(endpoint, &endpoint.pod_name),
            Identifier::PodName => endpoint.pod_name.as_ref().into(),
            Identifier::ReservedIdentity => reserved(&endpoint.labels),
            Identifier::Workload => match workload(endpoint) {
                "" => Cow::default(),
                name => within(endpoint, name),
            },
            Identifier::WorkloadName => workload(endpoint).into(),
            Identifier::App => app(&endpoint.labels),
            Identifier::Dns | Identifier::Ip => Cow::default(),
        }
    }
}

fn identifier(text: &str) -> Option<Identifier> {
    IDENTIFIERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, identifier)| *identifier)
}

fn label_value<'f>(label: &str, [source, destination]: &[End<'f>; 2], direction: TrafficDirection) -> Cow<'f, str> {
    if label == "traffic_direction" {
        return match direction {
            TrafficDirection::TRAFFIC_DIRECTION_UNKNOWN => "unknown".into(),
            direction => direction.to_string().to_ascii_lowercase().into(),
        };
    }
    let (end, what) = match (label.strip_prefix("source_"), label.strip_prefix("destination_")) {
        (Some(what), _) => (source, what),
        (None, what) => (destination, what.unwrap_or_default()),
    };
    if what == "ip" {
        return end.ip.into();
    }
    let Some(endpoint) = end.endpoint else { return Cow::default() };
    match what {
        "pod" => endpoint.pod_name.as_ref().into(),
        "namespace" => endpoint.namespace.as_ref().into(),
        "workload" => workload(endpoint).into(),
        "workload_kind" => endpoint.workloads.first().map_or("", |workload| &workload.kind).into(),
        _ => app(&endpoint.labels),
    }
}

fn workload<'f>(endpoint: &'f Endpoint<'_>) -> &'f str {
    endpoint.workloads.first().map_or("", |workload| &workload.name)
}

fn within<'f>(endpoint: &'f Endpoint<'_>, name: &'f str) -> Cow<'f, str> {
    match endpoint.namespace.as_ref() {
        "" => name.into(),
        namespace => format!("{namespace}/{name}").into(),
    }
}

fn join<'f>(texts: &'f Texts<'_>) -> Cow<'f, str> {
    texts.iter().collect::<Vec<_>>().join(",").into()
}

fn reserved<'f>(labels: &'f Texts<'_>) -> Cow<'f, str> {
    if labels.contains(KUBE_APISERVER) {
        return KUBE_APISERVER.into();
    }
    labels.iter().find(|label| label.starts_with("reserved:")).unwrap_or_default()
}

fn app<'f>(labels: &'f Texts<'_>) -> Cow<'f, str> {
    let value = |label: Cow<'f, str>| {
        let value = APP_LABELS.iter().find_map(|prefix| label.strip_prefix(prefix))?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    labels.iter().find_map(value).unwrap_or_default().into()
}
