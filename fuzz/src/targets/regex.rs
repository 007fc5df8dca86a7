//! Regular expressions in Go's dialect: any text compiles or is refused, within bounds of time and memory that libFuzzer watches; and a
//! group round a pattern changes nothing. The first line is the pattern, the rest a text.

use flowlog::filter::re2::Pattern;

/// Compiles the input's first line and searches the rest.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (pattern, text) = text.split_once('\n').unwrap_or((&text, ""));
    match Pattern::compile(pattern) {
        Ok(compiled) => {
            let found = compiled.is_match(text);
            if let Ok(grouped) = Pattern::compile(&format!("(?:{pattern})")) {
                assert_eq!(grouped.is_match(text), found, "a group round {pattern} changes what it finds in {text:?}");
            }
        }
        Err(error) => assert!(!error.why.is_empty(), "refused without a word"),
    }
}
