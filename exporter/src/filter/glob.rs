//! Patterns of DNS and node names: `*.example.com`, `cluster/node*` (`spec/hubble.md` §3.5).
//!
//! `*` stands for any run of `a–z`, `0–9`, `-` and `.`, never for an underscore or an upper-case letter. A pattern is lower-cased, the name it
//! is held against is not. Matching takes at most pattern times text steps and allocates nothing.

/// A pattern of a DNS name; matches the whole name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The pieces between the stars: one piece means no star.
    pieces: Vec<String>,
}

/// A pattern of `cluster/node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePattern {
    /// `None`: any well-formed name.
    cluster: Option<Glob>,
    node: Option<Glob>,
}

/// The cluster of a node name that names none.
const DEFAULT_CLUSTER: &str = "default";

impl Glob {
    /// Parses a pattern: spaces around it and one dot at its end are dropped, upper case is lowered.
    ///
    /// # Errors
    /// Says which character or dot is not allowed, or that nothing is left.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let trimmed = pattern.trim();
        let trimmed = trimmed.strip_suffix('.').unwrap_or(trimmed);
        let lowered: String = trimmed.chars().filter_map(|c| c.to_lowercase().next()).collect();
        if lowered.is_empty() {
            return Err("empty pattern; leave the element out, or write `*` for any name without an underscore".to_owned());
        }
        if lowered.ends_with('.') {
            return Err("more than one dot at the end".to_owned());
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '*');
        if let Some(bad) = lowered.chars().find(|c| !allowed(*c)) {
            return Err(format!("{bad:?} is not allowed in a name pattern; there are letters, digits, `-`, `_`, `.` and `*`"));
        }
        Ok(Self { pieces: lowered.split('*').map(str::to_owned).collect() })
    }

    /// Whether the whole of `text` matches.
    ///
    /// Each piece is put at the first place it fits: a later place would only make the star before it cover more.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, stars)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = stars.split_last() else {
            return rest.is_empty();
        };
        for piece in middle {
            let Some(at) = rest.find(piece.as_str()) else {
                return false;
            };
            if !rest[..at].bytes().all(star_covers) {
                return false;
            }
            rest = &rest[at + piece.len()..];
        }
        rest.strip_suffix(last.as_str()).is_some_and(|covered| covered.bytes().all(star_covers))
    }
}

fn star_covers(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

/// One or more components of letters, digits, `-` and `_` with single dots between them.
fn well_formed(name: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    name.split('.').all(part)
}

impl NodePattern {
    /// Parses `node`, `cluster/node`, `cluster/`, `/node` or `/`.
    ///
    /// # Errors
    /// Says what is wrong: empty, two slashes, or a half that is no [`Glob`].
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("empty pattern; write `/` for any node".to_owned());
        }
        let (cluster, node) = pattern.split_once('/').unwrap_or(("", pattern));
        if node.contains('/') {
            return Err("more than one `/`; write `cluster/node`".to_owned());
        }
        let half = |text: &str| {
            if text.is_empty() { Ok(None) } else { Glob::parse(text).map(Some) }
        };
        Ok(Self { cluster: half(cluster)?, node: half(node)? })
    }

    /// Whether a flow's node name matches; one without a slash is in the cluster `default`, the empty one never matches.
    pub fn matches(&self, node_name: &str) -> bool {
        if node_name.is_empty() {
            return false;
        }
        let (cluster, node) = node_name.split_once('/').unwrap_or((DEFAULT_CLUSTER, node_name));
        let half = |pattern: &Option<Glob>, text: &str| pattern.as_ref().map_or_else(|| well_formed(text), |glob| glob.matches(text));
        half(&self.cluster, cluster) && half(&self.node, node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, text: &str) -> Option<bool> {
        Glob::parse(pattern).ok().map(|g| g.matches(text))
    }

    #[test]
    fn stars_cover_dots_but_no_underscore() {
        for (pattern, text, expected) in [
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*example.com", "example.com", true),
            ("*.example.com", "a_b.example.com", false),
            ("a_b.example.com", "a_b.example.com", true),
            ("*_b*", "a_b.c", true),
            ("EXAMPLE.com.", "example.com", true),
            ("EXAMPLE.com", "EXAMPLE.com", false),
            (" example.com ", "example.com", true),
            ("exa*", "example.com.", true),
            ("example.com.", "example.com.", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("*a*b*", "xaxbx", true),
            ("*", "", true),
            ("-foo.com", "-foo.com", true),
            ("example..com", "example.com", false),
        ] {
            assert_eq!(glob(pattern, text), Some(expected), "{pattern} {text}");
        }
        for bad in ["", " ", ".", "example.com..", "exa[m]ple.com", "a b", "ex?mple.com", "a/b", "é"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn node_patterns_have_two_halves() {
        let names = ["n1", "default/n1", "prod/n1", "prod/n2.example", "prod/n_1", "Prod/N1", "a/b/c", ""];
        for (pattern, expected) in [
            ("n1", "TTT....."),
            ("prod/n1", "..T....."),
            ("prod/", "..TTT..."),
            ("/n1", "TTT....."),
            ("/", "TTTTT..."),
            ("*/n1", "TTT....."),
            ("p*/n*", "..TT...."),
            ("*", "TTTT...."),
            ("*/", "TTTTT..."),
        ] {
            let pattern = NodePattern::parse(pattern).unwrap();
            let found: String = names.iter().map(|n| if pattern.matches(n) { 'T' } else { '.' }).collect();
            assert_eq!(found, expected, "{pattern:?}");
        }
        for bad in ["", "a/b/c", " ", ".", "a?b", "//", "prod/.", "prod/ "] {
            assert!(NodePattern::parse(bad).is_err(), "{bad}");
        }
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => naive(rest, text),
            (Some((b'*', rest)), Some((c, behind))) => naive(rest, text) || (star_covers(*c) && naive(pattern, behind)),
            (Some((p, rest)), Some((c, behind))) => p == c && naive(rest, behind),
            _ => false,
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]
        #[test]
        fn a_glob_agrees_with_a_naive_model(pattern in r"[ab_*]{1,8}", text in r"[ab_A]{0,12}") {
            assert_eq!(glob(&pattern, &text), Some(naive(pattern.as_bytes(), text.as_bytes())));
        }
    }
}
