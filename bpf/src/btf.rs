//! Names out of the running kernel's BTF: drop reasons are not stable across versions, their names nearly are.

use std::collections::BTreeMap;

/// The enumeration of `include/net/dropreason-core.h`.
const ENUM: &str = "skb_drop_reason";
const PREFIXES: [&str; 2] = ["SKB_DROP_REASON_", "SKB_"];
const RUNNING: &str = "/sys/kernel/btf/vmlinux";

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// Drop reasons of the running kernel by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    names: BTreeMap<u32, String>,
}

impl Reasons {
    /// Reads the running kernel's; empty where it has no BTF or no reasons (before Linux 5.17).
    pub(crate) fn of_running_kernel() -> Self {
        let bytes = std::fs::read(RUNNING).unwrap_or_default();
        Self { names: enumeration(&bytes, ENUM).unwrap_or_default() }
    }

    /// The kernel's name without `SKB_DROP_REASON_`, for example `NETFILTER_DROP`; `None` for a number the running
    /// kernel does not list.
    pub fn name(&self, reason: u32) -> Option<&str> {
        self.names.get(&reason).map(String::as_str)
    }

    /// The number of a name.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.names.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.names.iter().map(|(number, name)| (*number, name.as_str()))
    }

    /// The kernel gives no reasons.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn text(strings: &[u8], at: u32) -> Option<&str> {
    let rest = strings.get(at as usize..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// The members of an enumeration in raw BTF. `None` if there is none of that name, or the bytes are no BTF.
fn enumeration(btf: &[u8], name: &str) -> Option<BTreeMap<u32, String>> {
    const HEADER: usize = 4; // magic, version, flags; then words
    if u16::from_ne_bytes(*btf.first_chunk()?) != 0xeb9f {
        return None;
    }
    let start = word(btf, HEADER)? as usize;
    let (types_at, types_length) = (word(btf, 8)? as usize, word(btf, 12)? as usize);
    let (strings_at, strings_length) = (word(btf, 16)? as usize, word(btf, 20)? as usize);
    let types = btf.get(start.checked_add(types_at)?..)?.get(..types_length)?;
    let strings = btf.get(start.checked_add(strings_at)?..)?.get(..strings_length)?;
    let mut at = 0;
    while let (Some(name_at), Some(info)) = (word(types, at), word(types, at + 4)) {
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let body = at + 12;
        if kind == KIND_ENUM && text(strings, name_at) == Some(name) {
            let member = |index: usize| {
                let at = body + index * 8;
                let name = text(strings, word(types, at)?)?;
                let short = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
                Some((word(types, at + 4)?, short.to_owned()))
            };
            return (0..members).map(member).collect();
        }
        at = body
            + match kind {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => members * 12,
                KIND_ENUM | KIND_FUNC_PROTO => members * 8,
                _ => 0,
            };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernels_reasons_have_their_names() {
        let reasons = Reasons::of_running_kernel();
        if reasons.is_empty() {
            let command = "make test on Linux 5.17 or later with CONFIG_DEBUG_INFO_BTF";
            crate::skip_line::write(
                "btf::tests::the_running_kernels_reasons_have_their_names",
                "this kernel names no drop reasons",
                command,
            );
            return;
        }
        let number = reasons.number("NETFILTER_DROP").expect("every kernel with reasons has this one");
        assert_eq!(reasons.name(number), Some("NETFILTER_DROP"));
        assert_eq!(reasons.name(u32::MAX - 1), None);
    }

    #[test]
    fn bytes_that_are_no_btf_name_nothing() {
        for bytes in [&b""[..], b"\x9f\xeb", &[0x9f, 0xeb, 1, 0, 255, 255, 255, 255, 9, 9, 9, 9], &[0xff; 64]] {
            assert_eq!(enumeration(bytes, ENUM), None);
        }
    }
}
