//! Names of ICMP types and codes as Hubble prints them in summaries and metrics: a fixed vocabulary that dashboards match on.

const UNREACHABLE_V4: &[&str] = &[
    "Net",
    "Host",
    "Protocol",
    "Port",
    "FragmentationNeeded",
    "SourceRoutingFailed",
    "NetUnknown",
    "HostUnknown",
    "SourceIsolated",
    "NetAdminProhibited",
    "HostAdminProhibited",
    "NetTOS",
    "HostTOS",
    "CommAdminProhibited",
    "HostPrecedence",
    "PrecedenceCutoff",
];
const REDIRECT_V4: &[&str] = &["Net", "Host", "TOS+Net", "TOS+Host"];
const EXCEEDED_V4: &[&str] = &["TTLExceeded", "FragmentReassemblyTimeExceeded"];
const PROBLEM_V4: &[&str] = &["PointerIndicatesError", "MissingOption", "BadLength"];
const UNREACHABLE_V6: &[&str] = &[
    "NoRouteToDst",
    "AdminProhibited",
    "BeyondScopeOfSrc",
    "AddressUnreachable",
    "PortUnreachable",
    "SrcAddressFailedPolicy",
    "RejectRouteToDst",
];
const EXCEEDED_V6: &[&str] = &["HopLimitExceeded", "FragmentReassemblyTimeExceeded"];
const PROBLEM_V6: &[&str] = &["ErroneousHeaderField", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"];

/// `EchoRequest`, `DestinationUnreachable(Port)`, `Redirect(Code: 9)`, `99(1)`.
pub fn v4_name(kind: u32, code: u32) -> String {
    let [kind, code] = bytes(kind, code);
    let (name, codes) = match kind {
        0 => ("EchoReply", &[][..]),
        3 => ("DestinationUnreachable", UNREACHABLE_V4),
        4 => ("SourceQuench", &[][..]),
        5 => ("Redirect", REDIRECT_V4),
        8 => ("EchoRequest", &[][..]),
        9 => ("RouterAdvertisement", &[][..]),
        10 => ("RouterSolicitation", &[][..]),
        11 => ("TimeExceeded", EXCEEDED_V4),
        12 => ("ParameterProblem", PROBLEM_V4),
        13 => ("TimestampRequest", &[][..]),
        14 => ("TimestampReply", &[][..]),
        15 => ("InfoRequest", &[][..]),
        16 => ("InfoReply", &[][..]),
        17 => ("AddressMaskRequest", &[][..]),
        18 => ("AddressMaskReply", &[][..]),
        _ => return format!("{kind}({code})"),
    };
    with_code(name, codes, code)
}

/// The same for ICMPv6. Multicast listener messages have no name here, as in Hubble.
pub fn v6_name(kind: u32, code: u32) -> String {
    let [kind, code] = bytes(kind, code);
    let (name, codes) = match kind {
        1 => ("DestinationUnreachable", UNREACHABLE_V6),
        2 => ("PacketTooBig", &[][..]),
        3 => ("TimeExceeded", EXCEEDED_V6),
        4 => ("ParameterProblem", PROBLEM_V6),
        128 => ("EchoRequest", &[][..]),
        129 => ("EchoReply", &[][..]),
        133 => ("RouterSolicitation", &[][..]),
        134 => ("RouterAdvertisement", &[][..]),
        135 => ("NeighborSolicitation", &[][..]),
        136 => ("NeighborAdvertisement", &[][..]),
        137 => ("Redirect", &[][..]),
        _ => return format!("{kind}({code})"),
    };
    with_code(name, codes, code)
}

/// Both are a byte of the packet; of larger numbers the last one counts.
fn bytes(kind: u32, code: u32) -> [u8; 2] {
    [kind as u8, code as u8]
}

fn with_code(name: &str, codes: &[&str], code: u8) -> String {
    match codes.get(usize::from(code)) {
        Some(known) => format!("{name}({known})"),
        None if codes.is_empty() && code == 0 => name.to_owned(),
        None => format!("{name}(Code: {code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_codes_are_named_as_hubble_names_them() {
        for (kind, code, name) in [
            (8, 0, "EchoRequest"),
            (8, 1, "EchoRequest(Code: 1)"),
            (3, 3, "DestinationUnreachable(Port)"),
            (3, 16, "DestinationUnreachable(Code: 16)"),
            (5, 2, "Redirect(TOS+Net)"),
            (99, 1, "99(1)"),
            (264, 257, "EchoRequest(Code: 1)"),
        ] {
            assert_eq!(v4_name(kind, code), name);
        }
        for (kind, code, name) in
            [(1, 4, "DestinationUnreachable(PortUnreachable)"), (130, 0, "130(0)"), (128, 0, "EchoRequest"), (2, 0, "PacketTooBig")]
        {
            assert_eq!(v6_name(kind, code), name);
        }
    }
}
