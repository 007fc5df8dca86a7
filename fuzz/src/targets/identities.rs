//! The file of identities: any text is read or refused, and whatever it says, every address has an answer.

use std::net::IpAddr;

use flowlog::identity::{Identities, Network, Source, read};

/// Reads the input as a file of identities, then its lines as networks.
pub fn run(input: &[u8]) {
    match read(input) {
        Ok(file) => {
            let identities = Identities::new(&[Source::File(file), Source::Host(vec![IpAddr::from([10, 0, 0, 1])])], "node");
            for address in ["10.0.0.1", "10.0.1.7", "192.168.1.9", "::1", "fd00::1", "::ffff:10.0.0.1", "255.255.255.255"] {
                identities.of(address.parse().expect("an address"));
            }
        }
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a word"),
    }
    for line in String::from_utf8_lossy(input).lines() {
        if let Some(network) = Network::parse(line) {
            let again = Network::parse(&format!("{}/{}", network.address, network.prefix));
            assert_eq!(again, Some(network), "{line} changes when it is written again");
        }
    }
}
