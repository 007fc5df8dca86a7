//! `foldBy: service`: leaves the client's ephemeral port out of a flow, in both directions.
//!
//! Which side is the server is known from the connection's own evidence (who sent the SYN, which direction is the reply). Without evidence the kernel's rule
//! for fold rows decides: of two ports the higher is taken for the client's.

use crate::flow::{Flow, Protocol};

/// Removes the client's port from a flow.
pub fn remove_client_port(flow: &mut Flow<'_>) {
    let reply = flow.is_reply;
    let Some(protocol) = flow.l4.as_mut().and_then(|l4| l4.protocol.as_mut()) else { return };
    let (source, destination) = match protocol {
        Protocol::Tcp(tcp) => (&mut tcp.source_port, &mut tcp.destination_port),
        Protocol::Udp(udp) => (&mut udp.source_port, &mut udp.destination_port),
        Protocol::Sctp(sctp) => (&mut sctp.source_port, &mut sctp.destination_port),
        _ => return,
    };
    let client_is_source = match reply {
        Some(reply) => !reply,
        None => *source >= *destination,
    };
    *(if client_is_source { source } else { destination }) = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Layer4, Tcp};

    fn ports(source_port: u32, destination_port: u32, is_reply: Option<bool>) -> (u32, u32) {
        let tcp = Tcp { source_port, destination_port, ..Tcp::default() };
        let mut flow = Flow { l4: Some(Layer4 { protocol: Some(Protocol::Tcp(tcp)), ..Layer4::default() }), is_reply, ..Flow::default() };
        remove_client_port(&mut flow);
        match flow.l4.and_then(|l4| l4.protocol) {
            Some(Protocol::Tcp(tcp)) => (tcp.source_port, tcp.destination_port),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn evidence_decides_who_the_client_is_and_the_higher_port_only_without_it() {
        assert_eq!(ports(40000, 80, Some(false)), (0, 80));
        assert_eq!(ports(80, 40000, Some(true)), (80, 0));
        assert_eq!(ports(80, 40000, Some(false)), (0, 40000));
        assert_eq!(ports(40000, 80, None), (0, 80));
        assert_eq!(ports(80, 40000, None), (80, 0));
    }
}
