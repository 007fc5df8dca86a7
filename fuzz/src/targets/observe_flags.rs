//! The command line of `flowlog observe`: any flags make a request or are refused; the filters they make are written so that they read as
//! the same, and compile or are refused. A flag or value a line.

use flowlog::filter::FlowFilter;
use flowlog::observe::raw_filters::to_yaml;

/// Reads the input's lines as the words behind `flowlog observe`.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // `--config` reads files of this machine.
    if text.contains("conf") {
        return;
    }
    let Some(request) = super::observe::request(text.lines(), false) else { return };
    for filter in request.allow.iter().chain(&request.deny) {
        let written = filter.to_json();
        assert_eq!(FlowFilter::from_json(&written).as_ref(), Ok(filter), "what is written reads as something else: {written}");
    }
    assert!(!to_yaml(&request.allow, &request.deny).is_empty());
    let _ = request.filters();
}
