//! Layer 7 of a flow: DNS, HTTP, and Kafka for old captures (Hubble digest §2.4).

use super::enums::L7FlowType;
use super::{Text, Texts};

message! {
    /// Layer 7.
    Layer7 {
        r#type: L7FlowType = 1 "type",
        /// From request to response, nanoseconds; on responses only, 0 when the request was not seen.
        latency_ns: u64 = 2,
        [
            /// Which protocol, and what it says.
            record: Record {
                Dns(Dns<'a>) = 100 "dns",
                Http(Http<'a>) = 101 "http",
                /// Deprecated.
                Kafka(Kafka<'a>) = 102 "kafka",
            }
        ]
    }
}

message! {
    /// A DNS request or response.
    Dns {
        /// With the last dot.
        query: Text<'a> = 1,
        ips: Texts<'a> = 2,
        /// Seconds.
        ttl: u32 = 3,
        cnames: Texts<'a> = 4,
        /// `proxy` and others.
        observation_source: Text<'a> = 5,
        rcode: u32 = 6,
        qtypes: Texts<'a> = 7,
        rrtypes: Texts<'a> = 8,
    }
}

message! {
    /// An HTTP request or response.
    Http {
        /// 0 on requests.
        code: u32 = 1,
        method: Text<'a> = 2,
        url: Text<'a> = 3,
        protocol: Text<'a> = 4,
        /// Sorted by key.
        headers: Vec<HttpHeader<'a>> = 5,
    }
}

message! {
    /// One header.
    HttpHeader {
        key: Text<'a> = 1,
        value: Text<'a> = 2,
    }
}

message! {
    /// A Kafka request or response.
    Kafka {
        error_code: i32 = 1,
        api_version: i32 = 2,
        api_key: Text<'a> = 3,
        correlation_id: i32 = 4,
        topic: Text<'a> = 5,
    }
}
