//! Metrics as they are configured: Cilium's dynamic metrics file as it is, texts and maps in the daemon's settings, and what is wrong with either.
//!
//! Upstream's files stand in its `pkg/hubble/metrics/testdata` and its manual (*Monitoring & Metrics*); what it makes of them can be read in its
//! `metric_config_watcher.go` and `api/context.go`.

use crate::cli::DaemonArgs;
use crate::config::settings::{Settings, settings};
use crate::config::{Problems, metrics};
use crate::metrics::hubble::spec::{Family, Specs};

/// The example of Cilium's manual.
const MANUAL: &str = "metrics:
  - name: dns
  - contextOptions:
    - name: sourceContext
      values:
      - workload-name
      - reserved-identity
    - name: destinationContext
      values:
      - workload-name
      - reserved-identity
    name: flow
  - name: drop
  - contextOptions:
    - name: exemplars
      values:
      - true
    - name: labelsContext
      values:
      - source_ip
      - traffic_direction
    - name: sourceContext
      values:
      - workload-name
    name: httpV2
  - contextOptions:
    - name: labelsContext
      values:
      - source_namespace
      - destination_namespace
    excludeFilters:
    - destination_pod:
      - default/
    name: policy
";

fn of_file(text: &str) -> Result<(Specs, Problems), Problems> {
    metrics::checked(|problems| metrics::of_file(text.as_bytes(), problems))
}

fn in_settings(text: &str) -> Result<Settings, Problems> {
    settings(&DaemonArgs::default(), Some(text.as_bytes()))
}

/// Family, labels and whether there are filters, of each metric.
fn all(specs: &Specs) -> Vec<(Family, String, bool)> {
    specs.0.iter().map(|spec| (spec.family, spec.context.names().join(" "), spec.filters.is_some())).collect()
}

#[test]
fn cilium_s_own_example_is_taken_unchanged_as_a_file_and_as_a_setting() {
    let expected = [
        (Family::Dns { query: false, ignore_aaaa: false }, "", false),
        (Family::Flow, "source destination", false),
        (Family::Drop, "", false),
        (Family::HttpV2 { exemplars: true }, "source_ip traffic_direction source", false),
        (Family::Policy, "source_namespace destination_namespace", true),
    ];
    let expected = expected.map(|(family, labels, filters)| (family, labels.to_owned(), filters));
    let (of_file, warnings) = of_file(MANUAL).unwrap();
    let in_settings = in_settings(MANUAL).unwrap();
    assert_eq!((all(&of_file), all(&in_settings.metrics)), (expected.to_vec(), expected.to_vec()));
    assert!(warnings.is_empty() && in_settings.warnings.is_empty());
}

#[test]
fn upstream_s_test_files_are_taken_and_refused_as_there() {
    let labels = |values: &str| format!("- name: \"drop\"\n  contextOptions:\n  - name: \"labelsContext\"\n    values: [{values}]\n");
    let drop = labels("\"source_namespace\", \"source_pod\", \"destination_pod\"");
    let filters = "  includeFilters:\n  - source_pod: [\"allow/src_pod\"]\n  - destination_pod: [\"allow/dst_pod\"]\n";
    let flow = "- name: \"flow\"\n  contextOptions:\n  - name: \"destinationContext\"\n    values: [\"dns\", \"ip\"]\n";
    let drops = |filters| (Family::Drop, "source_pod source_namespace destination_pod".to_owned(), filters);
    let flows = |filters| (Family::Flow, "destination".to_owned(), filters);
    for (text, expected) in [
        (String::new(), vec![]),
        (format!("{drop}{filters}  excludeFilters: []\n"), vec![drops(true)]),
        (labels("\"source_namespace\", \"source_pod\""), vec![(Family::Drop, "source_pod source_namespace".to_owned(), false)]),
        (format!("{drop}{filters}  excludeFilters: []\n{flow}"), vec![drops(true), flows(false)]),
        (flow.to_owned(), vec![flows(false)]),
        (format!("{flow}{filters}  \n"), vec![flows(true)]),
    ] {
        let (specs, warnings) = of_file(&format!("metrics:\n{text}")).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        assert_eq!(all(&specs), expected, "{text}");
        assert!(warnings.is_empty(), "{text}");
    }
    // invalid_config_missing_name.yaml; upstream tells both too.
    let nameless = format!("metrics:\n{}{}", drop.replace("\"drop\"", ""), flow.replace("\"flow\"", ""));
    let problems = of_file(&nameless).unwrap_err().to_string();
    for place in ["line 2: metrics[0]: name is missing", "line 6: metrics[1]: name is missing"] {
        assert!(problems.contains(place), "{problems}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_line_and_key() {
    let text = "metrics:
- drop:sourceContext=pot
- name: flow
  contextOptions:
  - name: sourceContext
    values: [pod, dns|ip]
  - {name: labelsContext, values: [source_ip, Source_pod]}
  includeFilters:
  - source_ip: [10.0.0.1, bad]
  - {verdict: [dropped]}
  excludeFilters:
  - source_podd: [a/]
- name: drop
- {name: tcp, includeFilters: {verdict: [DROPPED]}}
- {name: dns, contextOptions: [{name: query, values: yes}]}
-
- name: tcp
- name: tcp
- http httpV2
";
    let expected = [
        "line 2: metrics[0]: metric `drop`: `pot` is no value of sourceContext",
        "line 6: metrics[1].contextOptions[0].values[1]: metric `flow`: `dns|ip` is no value of sourceContext",
        "line 7: metrics[1].contextOptions[1].values[1]: metric `flow`: `Source_pod` is no value of labelsContext",
        "line 9: metrics[1].includeFilters[0].source_ip[1]: \"bad\" cannot be used",
        "line 10: metrics[1].includeFilters[1].verdict[0]: `dropped` is not a name of this enum; write DROPPED",
        "line 12: metrics[1].excludeFilters[0].source_podd: is not a field of FlowFilter; did you mean source_pod?",
        "line 14: metrics[3].includeFilters: is a map, but a list is needed",
        "line 15: metrics[4].contextOptions[0].values: is a truth value, but a list is needed",
        "line 16: metrics[5]: is empty",
        "line 17: metrics[6].name: metric `tcp` is given twice",
        "line 18: metrics[7].name: metric `tcp` is given twice",
        "line 19: metrics[8]: metrics `http` and `httpV2` write the same series",
    ];
    for problems in [in_settings(text).unwrap_err(), of_file(text).unwrap_err()] {
        let told: Vec<String> = problems.to_string().lines().map(str::to_owned).collect();
        assert_eq!(told.len(), expected.len(), "{problems}");
        told.iter().zip(expected).for_each(|(told, expected)| assert!(told.starts_with(expected), "{told}\n{expected}"));
    }
}

#[test]
fn what_nobody_knows_is_passed_over_with_a_warning_and_the_rest_is_counted() {
    let text = "metrics:
- {name: kafka, includeFilters: [{source_pod: [a/]}]}
- Name: drop
  CONTEXTOPTIONS: [{name: colour, values: [red]}, {NAME: sourceContext, Values: [pod], more: 1}]
  includeFilter: []
- {name: tcp, excludeFilters: [{source_pod: [kube-system/coredns*]}]}
- flow:any kafka
";
    let expected = [
        "line 2: metrics[0].name: there is no metric `kafka`; it is passed over",
        "metrics[1].contextOptions[0].name: metric `drop` has no option `colour`; it is passed over",
        "line 4: metrics[1].CONTEXTOPTIONS[1].more: is not a known key and is ignored",
        "line 5: metrics[1].includeFilter: is not a known key and is ignored, as Cilium ignores it; did you mean includeFilters?",
        "line 6: metrics[2].excludeFilters[0].source_pod[0]: \"kube-system/coredns*\" may not do what is meant",
        "line 7: metrics[3]: metric `flow` has no option `any`; it is passed over",
        "line 7: metrics[3]: there is no metric `kafka`; it is passed over",
    ];
    let settings = in_settings(text).unwrap_or_else(|problems| panic!("{problems}"));
    let told = settings.warnings.to_string();
    assert_eq!(told.lines().count(), expected.len(), "{told}");
    expected.iter().for_each(|expected| assert!(told.contains(expected), "{expected}\n{told}"));
    let counted = [(Family::Drop, "source", false), (Family::Tcp, "", true), (Family::Flow, "", false)];
    assert_eq!(all(&settings.metrics), counted.map(|(family, labels, filters)| (family, labels.to_owned(), filters)));
    assert_eq!(of_file(text).unwrap().1, settings.warnings);
}

#[test]
fn without_metrics_the_settings_have_the_usual_ones_and_a_file_of_metrics_has_none() {
    for text in ["", "metrics:\n", "metrics: []\n"] {
        assert_eq!((in_settings(text).unwrap().metrics.0.len(), of_file(text).unwrap().0.0.len()), (6, 0), "{text}");
    }
    // What is not known is not replaced by what is usual.
    assert_eq!(in_settings("metrics: [kafka]\n").unwrap().metrics.0.len(), 0);
}

#[test]
fn flags_replace_the_metrics_of_the_file_which_has_to_be_right_all_the_same() {
    let flags = DaemonArgs { metrics: vec!["drop tcp".into()], ..DaemonArgs::default() };
    assert_eq!(settings(&flags, Some(MANUAL.as_bytes())).unwrap().metrics.0.len(), 2);
    let flags = DaemonArgs { metrics: vec!["drop:sourceContext=pot".into(), String::new()], ..DaemonArgs::default() };
    let problems = settings(&flags, Some(b"metrics: [{name: ''}]\n")).unwrap_err().to_string();
    for part in ["--metrics: metric `drop`: `pot` is no value", "--metrics: is empty", "line 1: metrics[0]: name is missing"] {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
}
