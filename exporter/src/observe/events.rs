//! Events that are not flows: lost events, and what the agent and the datapath say about themselves.

use std::fmt::Write as _;

use crate::flow::{AgentEvent, DebugEvent, Endpoint, Event, ExportEvent, LostEvent, Notification, ServiceAddress, Texts, Timestamp};

use super::printer::{Printer, Style, name_or_number};
use super::times::Layout;

fn time_text(times: Layout, time: Option<Timestamp>) -> String {
    let mut text = Vec::new();
    times.write(time, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// ` (first: …, last: …)`, where both are known.
fn span(times: Layout, lost: &LostEvent<'_>) -> String {
    match (lost.first, lost.last) {
        (Some(_), Some(_)) => format!(" (first: {}, last: {})", time_text(times, lost.first), time_text(times, lost.last)),
        _ => String::new(),
    }
}

/// Lost events on a line.
pub fn compact_lost(times: Layout, event: &ExportEvent<'_>, lost: &LostEvent<'_>, out: &mut Vec<u8>) {
    times.write(event.time, out);
    let cpu = lost.cpu.unwrap_or_default();
    out.extend_from_slice(format!(" EVENTS LOST: {} CPU({cpu}) {}{}", lost.source, lost.num_events_lost, span(times, lost)).as_bytes());
}

/// Lost events as a record; a paragraph has no destination.
pub fn lost_fields(printer: &Printer, table: bool, event: &ExportEvent<'_>, lost: &LostEvent<'_>, row: &mut Vec<u8>) {
    let times = printer.style.times;
    let node = if event.node_name.is_empty() { "-" } else { &event.node_name };
    let mut fields = printer.fields_of(table, event.time, node, &["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"], row);
    fields.add("SOURCE", |row| name_or_number(lost.source.name(), lost.source.0, row));
    if table {
        fields.add("DESTINATION", |row| row.push(b'-'));
    }
    fields.add("TYPE", |row| row.extend_from_slice(b"EVENTS LOST"));
    fields.add("VERDICT", |row| row.push(b'-'));
    let cpu = lost.cpu.unwrap_or_default();
    fields.add("SUMMARY", |row| row.extend_from_slice(format!("CPU({cpu}) - {}{}", lost.num_events_lost, span(times, lost)).as_bytes()));
    fields.end();
}

/// An agent or debug event on a line.
pub fn compact_other(style: &Style, event: &ExportEvent<'_>, out: &mut Vec<u8>) {
    style.times.write(event.time, out);
    let node = if style.node_name { format!(" [{}]", event.node_name) } else { String::new() };
    let text = match &event.event {
        Some(Event::AgentEvent(agent)) => format!("{node}: {} ({})", agent.r#type, details(agent, style.times)),
        Some(Event::DebugEvent(debug)) => format!(
            "{node}: {} {} MARK: {} CPU: {} ({})",
            endpoint(debug.source.as_ref()),
            debug.r#type,
            mark(debug),
            cpu(debug),
            debug.message
        ),
        _ => String::new(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// An agent or debug event as a record.
pub fn other_fields(printer: &Printer, table: bool, event: &ExportEvent<'_>, row: &mut Vec<u8>) {
    match &event.event {
        Some(Event::AgentEvent(agent)) => {
            let mut fields = printer.fields_of(table, event.time, &event.node_name, &["TYPE", "DETAILS"], row);
            fields.add("TYPE", |row| name_or_number(agent.r#type.name(), agent.r#type.0, row));
            fields.add("DETAILS", |row| row.extend_from_slice(details(agent, printer.style.times).as_bytes()));
            fields.end();
        }
        Some(Event::DebugEvent(debug)) => {
            let mut fields = printer.fields_of(table, event.time, &event.node_name, &["FROM\t", "TYPE", "CPU/MARK", "MESSAGE"], row);
            let from = endpoint(debug.source.as_ref());
            let r#type = debug.r#type.to_string();
            if table {
                fields.add("FROM", |row| row.extend_from_slice(format!("{from}\t").as_bytes()));
                fields.add("TYPE", |row| row.extend_from_slice(r#type.as_bytes()));
                fields.add("CPU/MARK", |row| row.extend_from_slice(format!("{} {}", cpu(debug), mark(debug)).as_bytes()));
            } else {
                fields.add("TYPE", |row| row.extend_from_slice(r#type.as_bytes()));
                fields.add("FROM", |row| row.extend_from_slice(from.as_bytes()));
                fields.add("MARK", |row| row.extend_from_slice(mark(debug).as_bytes()));
                fields.add("CPU", |row| row.extend_from_slice(cpu(debug).as_bytes()));
            }
            fields.add("MESSAGE", |row| row.extend_from_slice(debug.message.as_bytes()));
            fields.end();
        }
        _ => {}
    }
}

fn mark(debug: &DebugEvent<'_>) -> String {
    debug.hash.map_or_else(|| "N/A".to_owned(), |hash| format!("{hash:#x}"))
}

fn cpu(debug: &DebugEvent<'_>) -> String {
    debug.cpu.map_or_else(|| "N/A".to_owned(), |cpu| format!("{cpu:02}"))
}

fn endpoint(endpoint: Option<&Endpoint<'_>>) -> String {
    let Some(endpoint) = endpoint else { return "N/A".to_owned() };
    let id = endpoint.id;
    if !endpoint.namespace.is_empty() && !endpoint.pod_name.is_empty() {
        return format!("{}/{} (ID: {id})", endpoint.namespace, endpoint.pod_name);
    }
    match endpoint.labels.first() {
        Some(label) if endpoint.labels.len() == 1 && label.starts_with("reserved:") => format!("{label} (ID: {id})"),
        _ => format!("ID: {id}"),
    }
}

fn list(texts: &Texts<'_>) -> String {
    texts.iter().collect::<Vec<_>>().join(",")
}

fn address(address: &ServiceAddress<'_>) -> String {
    if address.ip.contains(':') { format!("[{}]:{}", address.ip, address.port) } else { format!("{}:{}", address.ip, address.port) }
}

/// What an agent event says; `UNKNOWN` when it does not say what its type promises.
fn details(agent: &AgentEvent<'_>, times: Layout) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match (agent.r#type.0, &agent.notification) {
        (0, Some(Notification::Unknown(unknown))) => write!(text, "type: {}, notification: {}", unknown.r#type, unknown.notification),
        (2, Some(Notification::AgentStart(start))) => write!(text, "start time: {}", time_text(times, start.time)),
        (3 | 4, Some(Notification::PolicyUpdate(policy))) => {
            write!(text, "labels: [{}], revision: {}, count: {}", list(&policy.labels), policy.revision, policy.rule_count)
        }
        (5 | 6, Some(Notification::EndpointRegenerate(endpoint))) => {
            let _ = write!(text, "id: {}, labels: [{}]", endpoint.id, list(&endpoint.labels));
            optional(&mut text, "error", &endpoint.error)
        }
        (7 | 8, Some(Notification::EndpointUpdate(endpoint))) => {
            let _ = write!(text, "id: {}", endpoint.id);
            let _ = optional(&mut text, "namespace", &endpoint.namespace);
            optional(&mut text, "pod name", &endpoint.pod_name)
        }
        (9 | 10, Some(Notification::IpcacheUpdate(update))) => {
            let _ = write!(text, "cidr: {}, identity: {}", update.cidr, update.identity);
            if let Some(old) = update.old_identity {
                let _ = write!(text, ", old identity: {old}");
            }
            let _ = optional(&mut text, "host ip", &update.host_ip);
            let _ = optional(&mut text, "old host ip", &update.old_host_ip);
            write!(text, ", encrypt key: {}", update.encrypt_key)
        }
        (11, Some(Notification::ServiceUpsert(service))) => {
            let _ = write!(text, "id: {}", service.id);
            if let Some(frontend) = &service.frontend_address {
                let _ = write!(text, ", frontend: {}", address(frontend));
            }
            if !service.backend_addresses.is_empty() {
                let backends: Vec<String> = service.backend_addresses.iter().map(address).collect();
                let _ = write!(text, ", backends: [{}]", backends.join(","));
            }
            let _ = optional(&mut text, "type", &service.r#type);
            let _ = optional(&mut text, "traffic policy", &service.traffic_policy);
            let _ = optional(&mut text, "namespace", &service.namespace);
            optional(&mut text, "name", &service.name)
        }
        (12, Some(Notification::ServiceDelete(service))) => write!(text, "id: {}", service.id),
        _ => write!(text, "UNKNOWN"),
    };
    text
}

fn optional(text: &mut String, name: &str, value: &str) -> std::fmt::Result {
    if value.is_empty() { Ok(()) } else { write!(text, ", {name}: {value}") }
}
