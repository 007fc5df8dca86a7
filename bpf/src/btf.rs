//! Names out of the running kernel's BTF: drop reasons are not stable across versions, their names nearly are.

use std::collections::BTreeMap;

/// Drop reasons of the running kernel by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    names: BTreeMap<u32, String>,
}

impl Reasons {
    /// The kernel's name without `SKB_DROP_REASON_`, for example `NETFILTER_DROP`; `None` for a number the running
    /// kernel does not list.
    pub fn name(&self, reason: u32) -> Option<&str> {
        self.names.get(&reason).map(String::as_str)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.names
            .iter()
            .map(|(number, name)| (*number, name.as_str()))
    }
}
