//! Reserved security identities: their names and numbers (Cilium 1.20).

const NAMES: [&str; 15] = [
    "unknown",
    "host",
    "world",
    "unmanaged",
    "health",
    "init",
    "remote-node",
    "kube-apiserver",
    "ingress",
    "world-ipv4",
    "world-ipv6",
    "aggregate-cluster",
    "aggregate-cluster-mesh",
    "aggregate-world",
    "aggregate-remote-node",
];

/// The name of a reserved identity.
pub fn name(number: u32) -> Option<&'static str> {
    NAMES.get(number as usize).copied()
}

/// The number of a reserved identity. `unknown` is how 0 prints, not a name to ask for.
pub fn number(name: &str) -> Option<u32> {
    let at = NAMES.iter().skip(1).position(|known| *known == name)?;
    u32::try_from(at + 1).ok()
}

/// What `--identity` takes, for its error.
pub fn names() -> String {
    NAMES[1..].join(" ")
}
