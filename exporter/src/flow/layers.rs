//! Layers 2 to 4 of a flow, and the tunnel round them (Hubble digest §2.4).

use super::Text;
use super::enums::*;
use super::tcp_flags::TcpFlags;

message! {
    /// Layer 2; absent for devices without it.
    Ethernet {
        /// Lower-case, with colons.
        source: Text<'a> = 1,
        /// Lower-case, with colons.
        destination: Text<'a> = 2,
    }
}

message! {
    /// Layer 3.
    Ip {
        /// Before source NAT, when `source_xlated` is set.
        source: Text<'a> = 1,
        /// The source after NAT.
        source_xlated: Text<'a> = 5,
        destination: Text<'a> = 2,
        ip_version: IpVersion = 3 "ipVersion",
        encrypted: bool = 4,
    }
}

message! {
    /// Layer 4.
    Layer4 {
        [
            /// Which protocol, and what it says.
            protocol: Protocol {
                Tcp(Tcp<'a>) = 1 "TCP",
                Udp(Udp<'a>) = 2 "UDP",
                Icmpv4(Icmp<'a>) = 3 "ICMPv4",
                Icmpv6(Icmp<'a>) = 4 "ICMPv6",
                Sctp(Sctp<'a>) = 5 "SCTP",
                Vrrp(Vrrp<'a>) = 6 "VRRP",
                Igmp(Igmp<'a>) = 7 "IGMP",
            }
        ]
    }
}

message! {
    /// TCP.
    Tcp {
        source_port: u32 = 1,
        destination_port: u32 = 2,
        /// Absent for layer 7 and socket flows.
        flags: Option<TcpFlags<'a>> = 3,
    }
}

message! {
    /// UDP.
    Udp {
        source_port: u32 = 1,
        destination_port: u32 = 2,
    }
}

message! {
    /// ICMP of either version; both fields of an echo reply are zero.
    Icmp {
        r#type: u32 = 1 "type",
        code: u32 = 2,
    }
}

message! {
    /// SCTP.
    Sctp {
        source_port: u32 = 1,
        destination_port: u32 = 2,
        chunk_type: SctpChunkType = 3,
    }
}

message! {
    /// VRRP.
    Vrrp {
        r#type: u32 = 1 "type",
        vrid: u32 = 2,
        priority: u32 = 3,
    }
}

message! {
    /// IGMP.
    Igmp {
        r#type: u32 = 1 "type",
        group_address: Text<'a> = 2,
    }
}

message! {
    /// The outer header of an encapsulated packet.
    Tunnel {
        protocol: TunnelProtocol = 1,
        ip: Option<Ip<'a>> = 2 "IP",
        l4: Option<Layer4<'a>> = 3,
        vni: u32 = 4,
    }
}
