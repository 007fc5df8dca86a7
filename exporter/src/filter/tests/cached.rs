//! The cached path and unknown ports: properties over random filters and flows.

use super::*;
use proptest::prelude::*;

/// Fields with a few values each, so that random filters and flows meet.
fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""verdict":["DROPPED"]"#,
        r#""verdict":["FORWARDED","DROPPED"]"#,
        r#""drop_reason_desc":["POLICY_DENIED"]"#,
        r#""source_pod":["shop/"]"#,
        r#""destination_pod":["/web"]"#,
        r#""source_label":["app=web"]"#,
        r#""source_label":["app!=web"]"#,
        r#""destination_port":["80"]"#,
        r#""destination_port":["443","53"]"#,
        r#""source_port":["1024"]"#,
        r#""protocol":["tcp"]"#,
        r#""protocol":["http","udp"]"#,
        r#""reply":[false]"#,
        r#""tcp_flags":[{"SYN":true}]"#,
        r#""http_status_code":["5+"]"#,
        r#""http_path":["^/api"]"#,
        r#""dns_query":["example"]"#,
        r#""uuid":["u1"]"#,
        r#""trace_id":[""]"#,
        r#""ip_trace_id":[0]"#,
        r#""source_ip":["10.0.0.0/8"]"#,
        r#""event_type":[{"type":129},{"type":4}]"#,
        r#""experimental":{"cel_expression":["_flow.l4.TCP.destination_port == 80u"]}"#,
        r#""experimental":{"cel_expression":["_flow.source.namespace == 'shop'"]}"#,
        r#""experimental":{"cel_expression":["_flow.uuid == 'u1'","_flow.source.labels[5] == ''"]}"#,
    ])
}

fn filter() -> impl Strategy<Value = String> {
    prop::collection::vec(field(), 0..4).prop_map(|fields| {
        let mut names = Vec::new();
        let kept = fields.into_iter().filter(|field| {
            let name = field.split(':').next().unwrap_or_default();
            let new = !names.contains(&name);
            names.push(name);
            new
        });
        format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
    })
}

/// What the events of a flow share.
fn shared() -> impl Strategy<Value = String> {
    let pick = |values: Vec<&'static str>| prop::sample::select(values);
    (
        pick(vec![r#""verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED""#, r#""verdict":"FORWARDED""#, r#""is_reply":false"#]),
        pick(vec![
            r#""source":{"namespace":"shop","pod_name":"cart-1","labels":["k8s:app=web"]}"#,
            r#""source":{"labels":["k8s:app=db"]}"#,
            r#""node_name":"n1""#,
        ]),
        pick(vec![r#""IP":{"source":"10.1.1.1"}"#, r#""IP":{"source":"192.168.0.1"}"#]),
        pick(vec![r#""event_type":{"type":4}"#, r#""event_type":{"type":129}"#]),
    )
        .prop_map(|(verdict, source, ip, event)| format!("{verdict},{source},{ip},{event}"))
}

/// What differs between them.
fn varying() -> impl Strategy<Value = (String, String)> {
    let pick = |values: Vec<&'static str>| prop::sample::select(values);
    (
        pick(vec!["80", "443", "53", "8080"]),
        pick(vec![r#","flags":{"SYN":true}"#, r#","flags":{"ACK":true}"#, ""]),
        pick(vec![r#","l7":{"http":{"code":503,"url":"/api"}}"#, r#","l7":{"dns":{"query":"example.com."}}"#, ""]),
        pick(vec![r#","uuid":"u1""#, ""]),
    )
        .prop_map(|(port, flags, l7, uuid)| (port.to_owned(), format!("{flags}}}}}{l7}{uuid}")))
}

fn json(shared: &str, port: &str, varying: &str) -> String {
    format!(r#"{{"flow":{{{shared},"l4":{{"TCP":{{"source_port":1024,"destination_port":{port}{varying}}}}}"#)
}

/// Filters as random texts, both lists.
fn lists() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    (prop::collection::vec(filter(), 0..3), prop::collection::vec(filter(), 0..3))
}

fn build(lists: &(Vec<String>, Vec<String>)) -> Option<Filters> {
    let texts = |list: &'_ [String]| list.iter().map(|text| FlowFilter::from_json(text).unwrap()).collect::<Vec<_>>();
    Filters::compile(&texts(&lists.0), &texts(&lists.1)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn deciding_per_flow_and_then_per_event_is_deciding_at_once(lists in lists(), shared in shared(), port in "(80|443|53)", events in prop::collection::vec(varying(), 1..4)) {
        let Some(filters) = build(&lists) else { return Ok(()) };
        let texts: Vec<String> = events.iter().map(|(_, varying)| json(&shared, &port, varying)).collect();
        let first = event(&texts[0]);
        let per_flow = filters.per_flow(first.flow().unwrap());
        for text in &texts {
            let event = event(text);
            let flow = event.flow().unwrap();
            let decided = match per_flow {
                PerFlow::Decided(wanted) => wanted,
                PerFlow::PerEvent(remaining) => filters.per_event(flow, remaining),
            };
            prop_assert_eq!(decided, filters.matches(&event), "{:?} {}", lists, text);
        }
    }

    #[test]
    fn the_order_of_tests_never_changes_a_verdict(lists in lists(), shared in shared(), event_of in varying(), seed: u64) {
        let (Some(filters), Some(mut shuffled)) = (build(&lists), build(&lists)) else { return Ok(()) };
        for filter in shuffled.include.iter_mut().chain(&mut shuffled.exclude) {
            let length = filter.tests.len().max(1);
            filter.tests.rotate_left(seed as usize % length);
            if seed % 2 == 0 {
                filter.tests.reverse();
            }
        }
        let text = json(&shared, &event_of.0, &event_of.1);
        prop_assert_eq!(filters.matches(&event(&text)), shuffled.matches(&event(&text)));
    }

    #[test]
    fn an_answer_for_an_unknown_port_covers_every_port(lists in lists(), shared in shared(), event_of in varying()) {
        let Some(filters) = build(&lists) else { return Ok(()) };
        let verdicts: Vec<bool> = ["80", "443", "53", "8080"].iter().map(|port| filters.matches(&event(&json(&shared, port, &event_of.1)))).collect();
        let text = json(&shared, "0", &event_of.1);
        let answer = filters.answer(event(&text).flow().unwrap(), UnknownPorts { source: false, destination: true });
        match answer {
            Answer::Yes => prop_assert!(verdicts.iter().all(|v| *v)),
            Answer::No => prop_assert!(!verdicts.iter().any(|v| *v)),
            Answer::Unknown => {}
        }
        let known = event(&text);
        let known = known.flow().unwrap();
        prop_assert_eq!(filters.answer(known, UnknownPorts::default()), Answer::from(filters.matches_flow(known)));
    }
}

#[test]
fn a_folded_row_that_a_port_filter_cannot_decide_stays_undecided() {
    let text = json(r#""verdict":"DROPPED""#, "0", "}}");
    let folded = event(&text);
    let answer = |include: &[&str], exclude: &[&str]| {
        filters(include, exclude).unwrap().answer(folded.flow().unwrap(), UnknownPorts { source: false, destination: true })
    };
    assert_eq!(answer(&[r#"{"destination_port":["80"]}"#], &[]), Answer::Unknown);
    assert_eq!(answer(&[], &[r#"{"destination_port":["80"]}"#]), Answer::Unknown);
    assert_eq!(answer(&[r#"{"destination_port":["80"],"verdict":["FORWARDED"]}"#], &[]), Answer::No);
    assert_eq!(answer(&[r#"{"destination_port":["80"]}"#, r#"{"verdict":["DROPPED"]}"#], &[]), Answer::Yes);
    assert_eq!(answer(&[r#"{"source_port":["1024"]}"#], &[]), Answer::Yes);
    assert_eq!(answer(&[r#"{"source_port":["1025"]}"#], &[]), Answer::No);
    assert_eq!(answer(&[], &[r#"{"destination_port":["80"]}"#, "{}"]), Answer::No);
    assert_eq!(answer(&[r#"{"experimental":{"cel_expression":["_flow.l4.TCP.destination_port == 0u"]}}"#], &[]), Answer::Unknown);
}

#[test]
fn more_filters_than_bits_decide_alike() {
    let many: Vec<String> = (0..100).map(|n| format!(r#"{{"uuid":["u{n}"],"source_ip":["10.0.0.{n}"]}}"#)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let compiled = filters(&many, &[]).unwrap();
    for n in [0, 62, 63, 64, 99, 100] {
        for uuid in [n, 5] {
            let text = format!(r#"{{"flow":{{"uuid":"u{uuid}","IP":{{"source":"10.0.0.{n}"}}}}}}"#);
            let event = event(&text);
            let flow = event.flow().unwrap();
            let decided = match compiled.per_flow(flow) {
                PerFlow::Decided(wanted) => wanted,
                PerFlow::PerEvent(remaining) => compiled.per_event(flow, remaining),
            };
            assert_eq!(decided, n == uuid && n < 100, "{n} {uuid}");
        }
    }
}
