//! Values of filter flags: numbers as Go reads them, event types, TCP flags, IP versions, workloads.

use crate::filter::EventTypeFilter;
use crate::flow::{Flags, IpVersion, Workload, datapath};

use super::identity;

/// An unsigned number in digits only.
pub fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// An unsigned number in Go's own notation: `0x`, `0o`, `0b` or `0` in front, and `_` between digits where there is such a prefix, or between any digits.
pub fn any_base(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16, true),
        [b'0', b'o', ..] => (lower.get(2..)?, 8, true),
        [b'0', b'b', ..] => (lower.get(2..)?, 2, true),
        [b'0', _, ..] => (lower.get(1..)?, 8, true),
        _ => (lower.as_str(), 10, false),
    };
    // An underscore stands between digits, or between the prefix and a digit.
    let first_may = prefixed && digits.starts_with('_');
    let groups: Vec<&str> = if first_may { digits.get(1..)? } else { digits }.split('_').collect();
    if groups.iter().any(|group| group.is_empty() || !group.bytes().all(|byte| char::from(byte).is_digit(radix))) {
        return None;
    }
    u64::from_str_radix(&groups.concat(), radix).ok()
}

/// A 32-bit number that wraps to a negative one, as Go's conversion does.
fn wrapping(text: &str) -> Option<i32> {
    Some(u32::try_from(decimal(text)?).ok()?.cast_signed())
}

/// A security identity: a reserved name or a number.
pub fn security_identity(text: &str) -> Result<u32, String> {
    let number = identity::number(text).or_else(|| any_base(text).and_then(|number| u32::try_from(number).ok()));
    number.ok_or_else(|| format!("invalid security identity, expected one of [{}] or a numeric value", identity::names()))
}

/// `TYPE[:SUBTYPE]`.
pub fn event_type(text: &str) -> Result<EventTypeFilter<'static>, String> {
    let (kind, sub) = match text.split_once(':') {
        Some((kind, sub)) => (kind, Some(sub)),
        None => (text, None),
    };
    let named = datapath::message_type(kind);
    let Some(r#type) = named.or_else(|| wrapping(kind)) else {
        return Err(format!("unable to parse type '{kind}', not a known type name and unable to parse as numeric value"));
    };
    let mut filter = EventTypeFilter { r#type, ..EventTypeFilter::default() };
    if let Some(sub) = sub {
        // Names of sub types belong to a type that is named.
        let known = match named {
            Some(datapath::TRACE) => datapath::trace_point_number(sub),
            Some(datapath::AGENT) => datapath::agent_event_number(sub),
            _ => None,
        };
        let Some(number) = known.or_else(|| wrapping(sub)) else {
            return Err(format!("unable to parse event sub-type '{sub}', not a known sub-type name and unable to parse as numeric value"));
        };
        (filter.match_sub_type, filter.sub_type) = (true, number);
    }
    Ok(filter)
}

/// `syn,ack`.
pub fn tcp_flags(text: &str) -> Result<Flags, String> {
    text.split(',').try_fold(Flags::default(), |flags, name| {
        let flag = match name.to_ascii_uppercase().as_str() {
            "SYN" => Flags::SYN,
            "FIN" => Flags::FIN,
            "RST" => Flags::RST,
            "PSH" => Flags::PSH,
            "ACK" => Flags::ACK,
            "URG" => Flags::URG,
            "ECE" => Flags::ECE,
            "CWR" => Flags::CWR,
            "NS" => Flags::NS,
            _ => return Err(format!("unknown tcp flag: {name}")),
        };
        Ok(flags.with(flag))
    })
}

/// `v4`, `v6`; anything else is "no IP".
pub fn ip_version(text: &str) -> IpVersion {
    match text.to_ascii_lowercase().as_str() {
        "4" | "v4" | "ipv4" | "ip4" => IpVersion::IPV4,
        "6" | "v6" | "ipv6" | "ip6" => IpVersion::IPV6,
        _ => IpVersion::IP_NOT_USED,
    }
}

/// `[KIND/]NAME`.
pub fn workload(text: &str) -> Workload<'static> {
    let (kind, name) = text.split_once('/').unwrap_or(("", text));
    Workload { kind: kind.to_owned().into(), name: name.to_owned().into(), ..Workload::default() }
}
