//! One end of a flow as text: the pod, the service, the DNS names or the address, and the port; and its identity.

use crate::flow::{Endpoint, Flow, Protocol, Service, Text, Texts};

use super::color::{CYAN, Colors, MAGENTA, YELLOW};
use super::identity;

/// Source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// What the text of a side is made of.
struct Parts<'f> {
    address: &'f str,
    endpoint: Option<&'f Endpoint<'f>>,
    service: Option<&'f Service<'f>>,
    names: &'f Texts<'f>,
    port: u32,
}

/// Writes a side. `translate`: names instead of the address where there are any.
pub fn write(flow: &Flow<'_>, side: Side, translate: bool, colors: Colors, out: &mut Vec<u8>) {
    let Some(ip) = &flow.ip else {
        if let Some(ethernet) = &flow.ethernet {
            let address: &Text<'_> = if side == Side::Source { &ethernet.source } else { &ethernet.destination };
            colors.write(CYAN, out, |out| out.extend_from_slice(address.as_bytes()));
        }
        return;
    };
    let (source_port, destination_port) = ports(flow);
    let parts = match side {
        Side::Source => Parts {
            address: &ip.source,
            endpoint: flow.source.as_ref(),
            service: flow.source_service.as_ref(),
            names: &flow.source_names,
            port: source_port,
        },
        Side::Destination => Parts {
            address: &ip.destination,
            endpoint: flow.destination.as_ref(),
            service: flow.destination_service.as_ref(),
            names: &flow.destination_names,
            port: destination_port,
        },
    };
    colors.write(CYAN, out, |out| {
        let start = out.len();
        host(&parts, translate, out);
        if parts.port != 0 {
            if out.get(start..).is_some_and(|host| memchr::memchr(b':', host).is_some()) {
                out.insert(start, b'[');
                out.push(b']');
            }
            out.push(b':');
            colors.write(YELLOW, out, |out| out.extend_from_slice(itoa::Buffer::new().format(parts.port).as_bytes()));
        }
    });
}

fn ports(flow: &Flow<'_>) -> (u32, u32) {
    match flow.l4.as_ref().and_then(|layer| layer.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => (tcp.source_port, tcp.destination_port),
        Some(Protocol::Udp(udp)) => (udp.source_port, udp.destination_port),
        Some(Protocol::Sctp(sctp)) => (sctp.source_port, sctp.destination_port),
        _ => (0, 0),
    }
}

fn host(parts: &Parts<'_>, translate: bool, out: &mut Vec<u8>) {
    if !translate {
        out.extend_from_slice(parts.address.as_bytes());
        return;
    }
    let pod = parts.endpoint.map_or("", |endpoint| &endpoint.pod_name);
    let service = parts.service.map_or("", |service| &service.name);
    // A service's namespace stands in for the endpoint's even where it is empty.
    let namespace = match parts.service {
        Some(service) => &service.namespace,
        None => parts.endpoint.map_or("", |endpoint| &endpoint.namespace),
    };
    if !pod.is_empty() {
        join(namespace, pod, out);
    } else if !service.is_empty() {
        join(namespace, service, out);
    } else if parts.names.is_empty() {
        out.extend_from_slice(parts.address.as_bytes());
    } else {
        for (at, name) in parts.names.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// `namespace/name`, joined as a path is.
fn join(namespace: &str, name: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if !namespace.is_empty() {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b'/');
    }
    out.extend_from_slice(name.as_bytes());
    let path = &out[start..];
    let plain = !matches!(path, [b'.' | b'/', ..] | [.., b'/']) && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."));
    if !plain {
        let cleaned = clean(&String::from_utf8_lossy(path));
        out.truncate(start);
        out.extend_from_slice(cleaned.as_bytes());
    }
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Writes the identity of a side: `(world)`, `(ID:1001)`.
pub fn write_identity(flow: &Flow<'_>, side: Side, colors: Colors, out: &mut Vec<u8>) {
    let endpoint = if side == Side::Source { &flow.source } else { &flow.destination };
    let number = endpoint.as_ref().map_or(0, |endpoint| endpoint.identity);
    colors.write(MAGENTA, out, |out| {
        match identity::name(number) {
            Some(name) => {
                out.push(b'(');
                out.extend_from_slice(name.as_bytes());
            }
            None => {
                out.extend_from_slice(b"(ID:");
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        out.push(b')');
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_and_a_name_are_joined_as_a_path_is() {
        for (namespace, name, joined) in [
            ("a", "p", "a/p"),
            ("", "p", "p"),
            ("a", "..", "."),
            ("a", "../..", ".."),
            ("a/", "/p/", "a/p"),
            ("", "/../p", "/p"),
            ("a", ".p", "a/.p"),
        ] {
            let mut out = b"x".to_vec();
            join(namespace, name, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{joined}"), "{namespace:?} {name:?}");
        }
    }
}
