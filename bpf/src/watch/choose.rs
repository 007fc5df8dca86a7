//! Which interfaces are watched.

use crate::Selection;
use crate::netlink::Link;

pub(super) fn is_chosen(selection: &Selection, link: &Link, uplinks: &[u32]) -> bool {
    match selection {
        Selection::Named(globs) => globs.iter().any(|glob| matches(glob.as_bytes(), link.name.as_bytes())),
        Selection::PodsAndUplink => is_pod_side(link) || uplinks.contains(&link.ifindex),
    }
}

pub(super) fn is_pod_side(link: &Link) -> bool {
    matches!(link.kind.as_deref(), Some("veth" | "netkit")) && link.crosses_namespaces
}

/// Shell-like match of a whole name: `*` any run, `?` any one byte.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', glob)), _) => (0..=name.len()).any(|skip| matches(glob, &name[skip..])),
        (Some((b'?', glob)), Some((_, name))) => matches(glob, name),
        (Some((letter, glob)), Some((same, name))) if letter == same => matches(glob, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkCounters;

    #[test]
    fn globs_match_whole_names() {
        let table = [
            ("lo", "lo", true),
            ("lo", "lo0", false),
            ("eth*", "eth0", true),
            ("*", "anything", true),
            ("*", "", true),
            ("veth?", "veth", false),
            ("veth?", "veth1", true),
            ("*a*b", "xaab", true),
            ("*a*b", "xaac", false),
        ];
        for (glob, name, expected) in table {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expected, "{glob} on {name}");
        }
    }

    fn link(name: &str, kind: Option<&str>, crosses_namespaces: bool) -> Link {
        let counters = LinkCounters::default();
        Link { ifindex: 7, name: name.into(), l3: false, kind: kind.map(Into::into), crosses_namespaces, counters }
    }

    #[test]
    fn by_default_pod_veths_and_uplinks_are_chosen_by_kind_and_route_not_by_name() {
        let default = Selection::PodsAndUplink;
        assert!(is_chosen(&default, &link("whatever", Some("veth"), true), &[]));
        assert!(!is_chosen(&default, &link("veth0", Some("veth"), false), &[]));
        assert!(!is_chosen(&default, &link("docker0", Some("bridge"), false), &[]));
        assert!(is_chosen(&default, &link("ens5", None, false), &[7]));
        assert!(!is_chosen(&default, &link("ens5", None, false), &[8]));
    }
}
