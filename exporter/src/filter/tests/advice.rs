//! What a person is told who wrote something wrong, or something that can't be meant.

use super::*;

#[test]
fn every_value_that_cannot_be_built_is_named_with_its_place() {
    let errors = filters(&["{}", r#"{"source_ip":["10.0.0.1","10.0.0"],"destination_port":["80-90"]}"#], &[r#"{"protocol":["kafka"]}"#])
        .unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"includeFilters[1].source_ip[1]: "10.0.0": not an IP address; write `10.0.0.1`, `fd00::1` or a network `10.0.0.0/8`"#,
            r#"includeFilters[1].destination_port[0]: "80-90": not a port from 0 to 65535; ranges and names are not known, so list every port"#,
            r#"excludeFilters[0].protocol[0]: "kafka": not a protocol; there are icmp, icmpv4, icmpv6, tcp, udp, sctp, vrrp, igmp, dns and http"#,
        ]
    );
}

#[test]
fn what_is_valid_and_matches_nothing_gets_the_answer() {
    let compiled =
        filters(&[r#"{"source_pod":["kube-system/coredns*"],"source_ip":["FD00::1"],"source_cluster_name":["pro*"]}"#], &[]).unwrap();
    let texts: Vec<String> = compiled.advice().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"includeFilters[0].source_pod[0]: "kube-system/coredns*": `*` has no special meaning: names match by prefix, so write `kube-system/coredns`"#,
            r#"includeFilters[0].source_cluster_name[0]: "pro*": `*` has no special meaning: cluster names match whole, so list each of them"#,
            r#"includeFilters[0].source_ip[0]: "FD00::1": addresses are compared as text, and flows write this one `fd00::1`"#,
        ]
    );
}

#[test]
fn what_the_filters_look_at_is_known() {
    let compiled =
        filters(&[r#"{"source_pod":["a/"],"verdict":["DROPPED"]}"#], &[r#"{"experimental":{"cel_expression":["has(_flow.l7.http)"]}}"#])
            .unwrap();
    let needs: Vec<String> = compiled.requirements().iter().map(|r| format!("{} {}", r.place, r.path)).collect();
    assert_eq!(
        needs,
        [
            "includeFilters[0].verdict verdict",
            "includeFilters[0].source_pod source.namespace",
            "includeFilters[0].source_pod source.pod_name",
            "excludeFilters[0].experimental.cel_expression l7.http",
        ]
    );
}

#[test]
fn every_field_of_a_filter_says_what_it_looks_at() {
    for field in FlowFilter::FIELDS.list().iter().filter(|field| field.name != "experimental") {
        assert!(!requirement::paths(field.name).is_empty(), "{}", field.name);
    }
}
