//! The table of `spec/hubble.md` §3.8, row by row, then properties.

use super::*;

fn matches(pattern: &str, text: &str) -> Option<bool> {
    Pattern::compile(pattern).ok().map(|p| p.is_match(text))
}

#[test]
fn repetitions_of_repetitions_are_invalid_unless_grouped() {
    for pattern in ["a**", "a++", "a{2}*", "a{2}{3}", "a*?*", "a+?+", "a???"] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
    for pattern in ["(a*)*", "^*", "a??", "a{2}?", "(?:a*)+", "a*(?i)*"] {
        assert!(matches(pattern, "aa").is_some(), "{pattern}");
    }
}

#[test]
fn counts_and_their_products_end_at_1000() {
    for pattern in ["x{1001}", "(?:a{500}){3}", "x{2,1}", "x{1,1001}", "(x{2}){501}", "x{99999999999}", "(x{1000}|y){2}"] {
        assert_eq!(matches(pattern, ""), None, "{pattern}");
    }
    for pattern in ["x{1000}", "(?:a{500}){2}", "x{0}", "x{0,0}", "(?:x{0}){1000}", "(x{1000})*", "x{1000,}", "(x*){1000}"] {
        assert!(matches(pattern, "").is_some(), "{pattern}");
    }
}

#[test]
fn stray_braces_and_brackets_are_literal() {
    let table = [
        ("{", "{"),
        ("}", "}"),
        ("]", "]"),
        ("a{", "a{"),
        ("a{,2}", "a{,2}"),
        ("[a]", "a"),
        ("a{x}", "a{x}"),
        ("a{01}", "a{01}"),
        ("{2}", ""),
    ];
    for (pattern, text) in &table[..8] {
        assert_eq!(matches(pattern, text), Some(true), "{pattern}");
    }
    assert_eq!(matches("{2}", "{2}"), None, "a count with nothing before it");
    assert_eq!(matches("a{,2}", "aa"), Some(false));
}

#[test]
fn classes_neither_nest_nor_intersect() {
    assert_eq!(matches("^[[a]]$", "[]"), Some(true));
    assert_eq!(matches("^[[a]]$", "a]"), Some(true));
    assert_eq!(matches("^[a-z&&[aeiou]]$", "b"), Some(false));
    assert_eq!(matches("^[a-z&&[aeiou]]$", "b]"), Some(true));
    assert_eq!(matches("^[:alpha:]$", "p"), Some(true));
    assert_eq!(matches("^[:alpha:]$", "b"), Some(false));
    assert_eq!(matches("^[[:alpha:]]$", "b"), Some(true));
    assert_eq!(matches("^[[:^alpha:]]$", "b"), Some(false));
    assert_eq!(matches("^[[:word:]]$", "_"), Some(true));
    assert_eq!(matches("^[]a]$", "]"), Some(true));
    assert_eq!(matches(r"^[\d-z]$", "-"), Some(true));
    for pattern in ["[a--b]", "[z-a]", "[[:foo:]]", "[a", "[]", r"[a-\d]", r"[\b]"] {
        assert_eq!(matches(pattern, ""), None, "{pattern}");
    }
}

#[test]
fn quoting_and_escapes_are_gos() {
    let same = [
        (r"^\Qa.b*\E$", "a.b*"),
        (r"^\Qab\E*$", "abbb"),
        (r"^\<\>\_\/\ $", "<>_/ "),
        (r"^\141\012\0$", "a\n\0"),
        (r"^\z", ""),
        (r"\A\a\f\v", "\u{7}\u{c}\u{b}"),
        (r"^\x61\x{61}$", "aa"),
        (r"^\777$", "\u{1ff}"),
        (r"^\08$", "\u{0}8"),
    ];
    for (pattern, text) in same {
        assert_eq!(matches(pattern, text), Some(true), "{pattern}");
    }
    for pattern in [
        r"\C",
        r"\1",
        r"\7",
        r"\18",
        r"\u0061",
        r"\e",
        r"\h",
        r"\N",
        r"\R",
        r"\X",
        r"\G",
        r"\K",
        r"\Z",
        r"\cA",
        r"\E",
        r"\x",
        r"\x{}",
        r"\x{110000}",
        "\\",
        r"\é",
    ] {
        assert_eq!(matches(pattern, ""), None, "{pattern}");
    }
    assert_eq!(matches(r"\x{D800}", "a"), Some(false), "a surrogate matches nothing");
}

#[test]
fn flags_are_i_m_s_and_u() {
    for pattern in [
        "(?x)a",
        "(?u)a",
        "(?R)a",
        "(?#a)",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?>a)",
        "(?P=n)",
        "(?-)",
        "(?i-)",
        "(?--i)",
        "(?i",
        "(?P<>a)",
        "(?P<a b>c)",
        "(?<n>a",
    ] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
    for pattern in ["(?i)A", "(?P<n>a)", "(?<n>a)", "(?)a", "(?:a)", "(?s-m:a)", "(?U)a+", "(?P<n>a)|(?P<n>b)"] {
        assert_eq!(matches(pattern, "a"), Some(true), "{pattern}");
    }
    assert_eq!(matches("(?i:a)b", "aB"), Some(false), "the flag ends with its group");
    assert_eq!(matches("(a(?i)b)c", "aBC"), Some(false));
    assert_eq!(matches("(?i)a|B", "b"), Some(true));
}

#[test]
fn perl_classes_are_ascii_and_everything_else_is_unicode() {
    let table = [
        (r"\d", "٣", false),
        (r"\w", "é", false),
        (r"\s", "\u{a0}", false),
        (r"\s", "\u{b}", false),
        (r"a\b", "aé", true),
        (r"^.$", "é", true),
        (r"^\pL$", "é", true),
        ("^[^a]$", "é", true),
        ("^(?i)k$", "\u{212a}", true),
        (r"(?i)\w", "\u{212a}", true),
        (r"(?i)\W", "\u{212a}", false),
        (r"(?i)[^\w]", "\u{212a}", false),
        (r"(?i)[\W]", "\u{17f}", false),
        (r"^.$", "\n", false),
        (r"(?s)^.$", "\n", true),
        (r"^[^a]$", "\n", true),
        (r"a$", "a\n", false),
        (r"(?m)a$", "a\nb", true),
        (r"é\Bx", "éx", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(matches(pattern, text), Some(expected), "{pattern} on {text:?}");
    }
}

#[test]
fn unicode_groups_go_by_category_and_script() {
    for pattern in [r"\p{Letter}", r"\p{Any}", r"\p{Latin}", r"\p{^N}", r"\pL", r"\PN", r"\p{lowercase letter}", r"\P{^Ll}"] {
        assert_eq!(matches(&format!("^{pattern}$"), "a"), Some(true), "{pattern}");
    }
    for pattern in [r"\p{Alphabetic}", r"\p{Script=Greek}", r"\p{Grek}", r"\p{}", r"\p", r"\p{Greek", r"\pX"] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
}

#[test]
fn groups_must_balance_and_repetitions_need_an_argument() {
    for pattern in ["a(", "a)", "(", ")", "*", "(*a)", "a|*", "(?i)*", "(?:+)"] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
    for pattern in ["", "()", "|", "a||b", "(|a)*"] {
        assert_eq!(matches(pattern, "a"), Some(true), "{pattern}");
    }
}

#[test]
fn pathological_patterns_are_bounded() {
    let deep = |n: usize| "(".repeat(n) + "a" + &")".repeat(n);
    assert!(Pattern::compile(&deep(999)).is_ok());
    assert!(Pattern::compile(&deep(1000)).is_err(), "Go's own limit on nesting");
    assert!(Pattern::compile(&deep(100_000)).is_err());
    assert!(Pattern::compile(&("(?:a".repeat(5_000) + "*" + &")*".repeat(4_999) + ")")).is_err());
    assert!(Pattern::compile(&r"\pL".repeat(100_000)).is_err());
    assert!(Pattern::compile(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    assert!(Pattern::compile_within(r"(\pL{100}){10}", 1 << 20).is_err());
    let slow_elsewhere = Pattern::compile("^(a+)+$").unwrap();
    assert!(!slow_elsewhere.is_match(&("a".repeat(100_000) + "b")), "linear in the text");
}

#[test]
fn a_reason_names_the_pattern_and_the_cure() {
    let error = Pattern::compile("a(b").unwrap_err();
    assert_eq!(error.to_string(), r"regular expression `a(b`: missing closing ): write `\(` for the character");
}

proptest::proptest! {
    #[test]
    fn any_text_quoted_matches_itself(text in ".*") {
        let pattern = Pattern::compile(&format!(r"\A\Q{}\E\z", text.replace("\\E", ""))).unwrap();
        assert!(pattern.is_match(&text.replace("\\E", "")));
    }

    #[test]
    fn no_pattern_panics(pattern in r"[\[\]\\(){}*+?|^$.a-c0-9,:pLQE=<>-]{0,40}", text in "[a-c0-9]{0,8}") {
        if let Ok(pattern) = Pattern::compile(&pattern) {
            pattern.is_match(&text);
        }
    }
}
