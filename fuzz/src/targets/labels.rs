//! Label selectors: any text is one or refused; two of them joined by a comma select what both select. A line each: two selectors, then
//! the labels of a flow.

use std::borrow::Cow;

use flowlog::filter::label::Selector;

/// Reads the input's first two lines as selectors and holds the others against them.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let labels: Vec<&str> = lines.collect();
    let (Ok(one), Ok(other)) = (Selector::parse(first), Selector::parse(second)) else { return };
    let selects = |selector: &Selector| selector.matches(labels.iter().map(|label| Cow::Borrowed(*label)));
    // A NUL ends a selector's text, and the empty one is no part of another.
    if first.is_empty() || second.is_empty() || first.contains('\0') {
        selects(&one);
        selects(&other);
        return;
    }
    let both = Selector::parse(&format!("{first},{second}")).unwrap_or_else(|error| panic!("{first},{second}: {error}"));
    assert_eq!(selects(&both), selects(&one) && selects(&other), "{first} and {second} on {labels:?}");
}
