//! Pods and services: `namespace/name-prefix` (`spec/hubble.md` §3.4).

/// What a pod or service has to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    /// `None`: any.
    namespace: Option<String>,
    /// The name begins with this.
    prefix: String,
}

/// The namespace of a name written without one.
const DEFAULT_NAMESPACE: &str = "default";

impl NamePattern {
    /// Parses `name`, `namespace/`, `namespace/name`, `/name` or `/`; what follows a second slash is ignored, as upstream does.
    ///
    /// # Errors
    /// When the text is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty; write `namespace/`, `namespace/prefix`, or `/` for any".to_owned());
        }
        let mut parts = text.split('/');
        Ok(match (parts.next().unwrap_or_default(), parts.next()) {
            (name, None) => Self { namespace: Some(DEFAULT_NAMESPACE.to_owned()), prefix: name.to_owned() },
            (namespace, Some(name)) => Self { namespace: (!namespace.is_empty()).then(|| namespace.to_owned()), prefix: name.to_owned() },
        })
    }

    /// Whether something of this namespace and name is meant; what has neither never is.
    #[inline]
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        (!namespace.is_empty() || !name.is_empty())
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && name.starts_with(self.prefix.as_str())
    }

    /// What a person who wrote `text` should know, when it can't mean what they think: `*` is a plain character here.
    pub fn advice(text: &str) -> Option<String> {
        text.contains('*').then(|| {
            let cut = text.split('*').next().unwrap_or_default();
            let cut = if cut.is_empty() { "/" } else { cut };
            format!("`*` has no special meaning: names match by prefix, so write `{cut}`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_in_the_default_namespace() {
        for (pattern, namespace, name, expected) in [
            ("xwing", "default", "xwing-1", true),
            ("xwing", "kube-system", "xwing", false),
            ("xwing", "", "xwing", false),
            ("kube-system/", "kube-system", "", true),
            ("kube-sys/", "kube-system", "", false),
            ("kube-system/coredns-", "kube-system", "coredns-abc", true),
            ("/xwing", "", "xwing", true),
            ("/", "a", "", true),
            ("/", "", "", false),
            ("a/b/c", "a", "b-1", true),
            ("a/b/c", "a", "c", false),
            ("default/xw*", "default", "xwing", false),
            ("Xwing", "default", "xwing", false),
        ] {
            assert_eq!(NamePattern::parse(pattern).map(|p| p.matches(namespace, name)), Ok(expected), "{pattern} on {namespace}/{name}");
        }
        assert!(NamePattern::parse("").is_err());
    }

    #[test]
    fn a_copied_star_gets_the_answer() {
        assert_eq!(
            NamePattern::advice("kube-system/coredns*"),
            Some("`*` has no special meaning: names match by prefix, so write `kube-system/coredns`".to_owned())
        );
        assert_eq!(NamePattern::advice("*"), Some("`*` has no special meaning: names match by prefix, so write `/`".to_owned()));
        assert_eq!(NamePattern::advice("kube-system/"), None);
    }
}
