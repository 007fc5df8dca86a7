//! Filters in their three forms: JSON, the text of a flag, and YAML below `includeFilters`. What is read is written so that it reads as the
//! same; and the four ways to ask a compiled filter agree.

use flowlog::filter::{Answer, Filters, FlowFilter, PerFlow, UnknownPorts};
use flowlog::flow::Flow;

use super::sample;

/// Reads the input in each form.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(filter) = FlowFilter::from_json(&text) {
        let written = filter.to_json();
        assert_eq!(FlowFilter::from_json(&written).as_ref(), Ok(&filter), "what is written reads as something else: {written}");
        ask(&[filter], &[]);
    }
    if let Ok(filters) = FlowFilter::list_from_flag(&text) {
        let (include, exclude) = filters.split_at(filters.len().div_ceil(2));
        ask(include, exclude);
    }
    let yaml = format!("flowLogs:\n- name: a\n  filePath: /x\n  includeFilters:\n  - {}\n", text.replace('\n', "\n    "));
    super::config::run(yaml.as_bytes());
}

fn ask(include: &[FlowFilter<'_>], exclude: &[FlowFilter<'_>]) {
    let Ok(filters) = Filters::compile(include, exclude) else { return };
    filters.requirements();
    for event in sample::events() {
        let wanted = filters.matches(event);
        if let Some(flow) = event.flow() {
            assert_eq!(filters.matches_flow(flow), wanted);
            agree(&filters, flow, wanted);
        }
    }
}

fn agree(filters: &Filters, flow: &Flow<'_>, wanted: bool) {
    let cached = match filters.per_flow(flow) {
        PerFlow::Decided(decided) => decided,
        PerFlow::PerEvent(remaining) => filters.per_event(flow, remaining),
    };
    assert_eq!(cached, wanted, "the cached path answers otherwise");
    assert_eq!(filters.answer(flow, UnknownPorts::default()), Answer::from(wanted));
    for (source, destination) in [(true, false), (false, true), (true, true)] {
        let answer = filters.answer(flow, UnknownPorts { source, destination });
        assert!(answer == Answer::Unknown || answer == Answer::from(wanted), "sure of the wrong answer");
    }
}
