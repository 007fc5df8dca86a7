//! Whether a Loki divides busy streams by itself.
//!
//! With `limits_config.shard_streams`, on by default, Loki adds a label `__stream_shard__` to what comes in faster than `desired_rate` a stream, and takes
//! another shard for each push. What has to be sent again (a lost answer, a crash before the answer was noted) is then another stream's entry, which Loki keeps
//! beside the first one and shows in every query. No client can prevent that; so it is asked for, and said.

/// The rate above which streams are divided, as Loki's own `/config` page writes it, if they are.
///
/// It is YAML that Loki has written, block style: the one key `shard_streams` is looked for, not the whole document understood. Limits of single tenants do not
/// stand there.
pub fn desired_rate(config: &str) -> Option<&str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = config.lines().skip_while(|line| line.trim() != "shard_streams:");
    let outer = indent(lines.next()?);
    let inner: Vec<(&str, &str)> = lines.take_while(|line| indent(line) > outer).filter_map(|line| line.trim().split_once(": ")).collect();
    let value = |key: &str| inner.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    (value("enabled") == Some("true")).then(|| value("desired_rate").unwrap_or("its desired_rate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_itself_says_counts() {
        let page = |enabled: &str| {
            format!(
                "limits_config:\n  other:\n    enabled: true\n  shard_streams:\n    enabled: {enabled}\n    desired_rate: 1536KB\n  next:\n    enabled: true\n"
            )
        };
        for (config, wanted) in [
            (page("true").as_str(), Some("1536KB")),
            (page("false").as_str(), None),
            ("shard_streams:\n  enabled: true\n", Some("its desired_rate")),
            ("shard_streams:\nenabled: true\n", None),
            ("shard_streams:", None),
            ("404 page not found", None),
            ("", None),
        ] {
            assert_eq!(desired_rate(config), wanted, "{config}");
        }
    }
}
