//! The file of identities, YAML or JSON: a map from address or network to what is known of it.
//!
//! ```yaml
//! identities:
//!   10.0.1.7: {namespace: shop, pod: cart-7d9f, labels: [app=cart], workload: Deployment/cart, service: shop/cart}
//!   192.168.1.0/24: {reserved: remote-node}
//!   198.51.100.0/24: {names: [api.example.com]}
//! ```
//!
//! Strict: what is unknown or does not fit rejects the file, with key and line. Of networks that hold an address the longest counts, whole.

use std::collections::BTreeMap;

use super::{Network, Reserved};
use crate::config::keys::{IDENTITIES, IDENTITY};
use crate::config::{At, Fields, Hash, Problems, Unknown, canonical, parse_yaml};

/// A file of identities that has been read.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub(super) entries: BTreeMap<Network, Known>,
    /// SHA-256 of its text.
    pub hash: Hash,
}

impl File {
    /// How many addresses and networks it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a file says of one address or network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub reserved: Option<Reserved>,
    pub identity: Option<u32>,
    pub cluster: String,
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub labels: Vec<String>,
    /// Kind and name.
    pub workloads: Vec<(String, String)>,
    /// Namespace and name.
    pub service: Option<(String, String)>,
    pub names: Vec<String>,
}

/// Reads a file of identities.
///
/// # Errors
/// Everything that is wrong with it, in the order of lines.
pub fn read(text: &[u8]) -> Result<File, Problems> {
    let mut problems = Problems::default();
    let mut entries = BTreeMap::new();
    if let Some(root) = parse_yaml(text, &mut problems)
        && !root.is_null()
        && let Some(fields) = Fields::take(&At::new(&root, String::new()), &[IDENTITIES], Unknown::Reject, &mut problems)
    {
        entries = fields.whole("identities", &mut problems, known_addresses).unwrap_or_default();
    }
    let (_, mut harm) = problems.split(true);
    harm.sort();
    if harm.is_empty() { Ok(File { entries, hash: canonical::sha256(text) }) } else { Err(harm) }
}

fn known_addresses(at: &At<'_>, problems: &mut Problems) -> Option<BTreeMap<Network, Known>> {
    let mut entries: BTreeMap<Network, Known> = BTreeMap::new();
    for (key, value) in at.entries(problems)? {
        let Some(network) = Network::parse(key) else {
            problems.reject(
                &value.place,
                format!("`{key}` is no address or network"),
                Some("write 10.0.1.7, 10.0.0.0/8 or fd00::/8".into()),
            );
            continue;
        };
        let Some(known) = known(&value, problems) else { continue };
        if entries.insert(network, known).is_some() {
            problems.reject(
                &value.place,
                format!("{}/{} stands here in another spelling too", network.address, network.prefix),
                Some("keep one".into()),
            );
        }
    }
    Some(entries)
}

fn known(at: &At<'_>, problems: &mut Problems) -> Option<Known> {
    let fields = Fields::take(at, &[IDENTITY], Unknown::Reject, problems)?;
    let known = Known {
        reserved: fields.value("reserved", problems, |at, problems| at.choice(problems, &Reserved::ALL)),
        identity: fields
            .value("identity", problems, |at, problems| at.number(problems, 0, u64::from(u32::MAX)))
            .and_then(|number| u32::try_from(number).ok()),
        cluster: fields.value("cluster", problems, At::word).unwrap_or_default(),
        node: fields.value("node", problems, At::word).unwrap_or_default(),
        namespace: fields.value("namespace", problems, At::word).unwrap_or_default(),
        pod: fields.value("pod", problems, At::word).unwrap_or_default(),
        labels: fields.whole("labels", problems, labels).unwrap_or_default(),
        workloads: fields.value("workload", problems, |at, problems| pair(at, problems, "Deployment/cart")).into_iter().collect(),
        service: fields.value("service", problems, |at, problems| pair(at, problems, "shop/cart")),
        names: fields.whole("names", problems, names).unwrap_or_default(),
    };
    #[cfg(test)]
    fields.assert_all_asked();
    Some(known)
}

/// `key=value`, `key` or with a source in front; without one they are Kubernetes' own. A map works too.
fn labels(at: &At<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let texts = if at.is_map() {
        let entries = at.entries(problems)?;
        entries.into_iter().map(|(key, value)| format!("{key}={}", value.text(problems).unwrap_or_default())).collect()
    } else {
        at.texts(problems)?
    };
    let with_source = |text: String| match text.split('=').next().is_some_and(|key| key.contains(':')) {
        true => text,
        false => format!("k8s:{text}"),
    };
    Some(texts.into_iter().map(with_source).collect())
}

/// Two names with a slash between them.
fn pair(at: &At<'_>, problems: &mut Problems, example: &str) -> Option<(String, String)> {
    let text = at.word(problems)?;
    match text.split_once('/') {
        Some((first, second)) if !first.is_empty() && !second.is_empty() && !second.contains('/') => {
            Some((first.to_owned(), second.to_owned()))
        }
        _ => {
            problems.reject(
                &at.place,
                format!("`{text}` is not two names with a slash between them"),
                Some(format!("write it like {example}")),
            );
            None
        }
    }
}

/// DNS names as Hubble writes them: without the dot at their end.
fn names(at: &At<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = at.items(problems)?;
    Some(items.iter().filter_map(|item| item.word(problems)).map(|name| name.trim_end_matches('.').to_owned()).collect())
}
