//! Filters as JSON: `--allowlist` and `--denylist`, `HUBBLE_ALLOWLIST` and `HUBBLE_DENYLIST`, the file of `--config`, and `--print-raw-filters`.
//!
//! A flag counts before the variable, the variable before the file, each list by itself.

use std::path::Path;

use crate::config::Problems;
use crate::config::yaml::{self, Kind};
use crate::filter::FlowFilter;

/// The lists of a `--config` file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    allowlist: Vec<String>,
    denylist: Vec<String>,
}

impl ConfigFile {
    /// Reads what `--print-raw-filters` prints; other keys are for other commands.
    ///
    /// # Errors
    /// When it can't be read or is no YAML.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let mut problems = Problems::default();
        let Some(node) = yaml::parse(&text, &mut problems) else {
            return Err(format!("{} is no YAML: write what --print-raw-filters prints", path.display()));
        };
        let list = |key: &str| match &node.kind {
            Kind::Map(entries) => match entries.get(key).map(|entry| &entry.value.kind) {
                Some(Kind::Scalar(_, text)) => words(text),
                Some(kind) => texts(kind),
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        Ok(Self { allowlist: list("allowlist"), denylist: list("denylist") })
    }
}

/// A list that is written as one text: the real command takes it apart at every blank, so its filters have to be written without any.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn texts(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Scalar(_, text) => vec![text.clone()],
        Kind::List(items) => items.iter().flat_map(|item| texts(&item.kind)).collect(),
        Kind::Map(_) => Vec::new(),
    }
}

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawList {
    /// `--allowlist`
    Allow,
    /// `--denylist`
    Deny,
}

/// The raw filters of a list, from the flag, else the environment, else the file.
///
/// # Errors
/// A text that is not made of filters.
pub fn filters(list: RawList, flags: &[String], file: &ConfigFile) -> Result<Vec<FlowFilter<'static>>, String> {
    let (flag, variable, listed) = match list {
        RawList::Allow => ("--allowlist", "HUBBLE_ALLOWLIST", &file.allowlist),
        RawList::Deny => ("--denylist", "HUBBLE_DENYLIST", &file.denylist),
    };
    let environment = words(&std::env::var(variable).unwrap_or_default());
    let mut filters = Vec::new();
    for (texts, advice) in
        [(flags, ""), (environment.as_slice(), "; in a variable no blank may stand within a filter"), (listed.as_slice(), "")]
    {
        for text in texts {
            filters.extend(FlowFilter::list_from_flag(text).map_err(|error| format!("invalid {flag} flag: {error}{advice}"))?);
        }
        if !texts.is_empty() {
            break;
        }
    }
    Ok(filters)
}

/// Both lists as the YAML that `--config` takes.
pub fn to_yaml(allow: &[FlowFilter<'_>], deny: &[FlowFilter<'_>]) -> String {
    let mut yaml = String::new();
    for (key, filters) in [("allowlist", allow), ("denylist", deny)] {
        if !filters.is_empty() {
            yaml.push_str(key);
            yaml.push_str(":\n");
        }
        for filter in filters {
            yaml.push_str("    - ");
            quote(&filter.to_json(), &mut yaml);
            yaml.push('\n');
        }
    }
    if yaml.is_empty() { "{}\n".to_owned() } else { yaml }
}

/// A YAML text in the quotes that Go's writer chooses: single ones unless a character has to be escaped.
fn quote(text: &str, yaml: &mut String) {
    let plain = |c: char| matches!(c, ' '..='~' | '\u{a0}'..='\u{fffd}') && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.chars().all(plain) {
        yaml.push('\'');
        yaml.push_str(&text.replace('\'', "''"));
        yaml.push('\'');
        return;
    }
    yaml.push('"');
    for character in text.chars() {
        match character {
            '"' => yaml.push_str("\\\""),
            '\\' => yaml.push_str("\\\\"),
            '\u{85}' => yaml.push_str("\\N"),
            plain_one if plain(plain_one) => yaml.push(plain_one),
            other => yaml.push_str(&match u32::from(other) {
                code @ 0..=0xff => format!("\\x{code:02X}"),
                code @ 0x100..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            }),
        }
    }
    yaml.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let filters = ["{\"source_pod\":[\"a/\"],\"verdict\":[\"DROPPED\"]}", "{\"source_pod\":[\"it's é😀\u{7f}\"]}", "{}"];
        let filters = filters.map(|json| FlowFilter::from_json(json).unwrap());
        let yaml = to_yaml(&filters, &filters[..1]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, yaml.as_bytes()).unwrap();
        let config = ConfigFile::read(file.path()).unwrap();
        assert_eq!(config.allowlist, filters.each_ref().map(FlowFilter::to_json));
        assert_eq!(config.denylist, [filters[0].to_json()]);
        assert_eq!(to_yaml(&[], &[]), "{}\n");
    }
}
