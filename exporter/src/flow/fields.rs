//! What a message consists of, as data: field names to numbers for the JSON reader, and which fields a mask selects.
//!
//! A lookup hashes at most eight bytes of the key and compares one name; the tables are built at compile time.

/// A field of a message, in the order the schema declares them.
#[derive(Debug)]
pub struct FieldInfo {
    /// The proto name, which is also the JSON name that is written.
    pub name: &'static str,
    /// The name as a key of a line: in quotes, with a colon.
    pub key: &'static str,
    /// The proto number.
    pub number: u32,
    /// What a mask may name below it.
    pub below: Below,
}

/// What a mask path may name below a field.
#[derive(Clone, Copy, Debug)]
pub enum Below {
    /// Nothing: a number, a text, an enum.
    Nothing,
    /// Nothing, because it is a list.
    List,
    /// The fields of a message.
    Message(&'static Fields),
}

/// The fields of a message.
#[derive(Debug)]
pub struct Fields {
    /// The full proto name.
    pub message: &'static str,
    list: &'static [FieldInfo],
    names: Names<128>,
}

impl Fields {
    /// Builds the table of a message of at most 64 fields; at compile time.
    pub const fn new(message: &'static str, list: &'static [FieldInfo]) -> Self {
        let mut names = Names::new();
        let mut at = 0;
        while at < list.len() {
            names.insert(list[at].name, list[at].number as i32, at as u8);
            at += 1;
        }
        Self { message, list, names }
    }

    /// All fields in order.
    pub const fn list(&self) -> &'static [FieldInfo] {
        self.list
    }

    /// Number of the field at a position, 0 when there is none.
    #[inline]
    pub fn number(&self, position: u32) -> u32 {
        self.list.get(position as usize).map_or(0, |field| field.number)
    }

    /// Position of a proto name.
    pub fn position(&self, name: &[u8]) -> Option<u8> {
        self.name(name).map(|name| name.position)
    }

    #[inline]
    fn name(&self, name: &[u8]) -> Option<Name> {
        self.names.find(name, |position| self.list.get(usize::from(position)).map_or("", |field| field.name))
    }

    /// Number and position of a JSON key: a proto name or its lowerCamelCase form.
    #[inline]
    pub fn key(&self, key: &[u8]) -> Option<(u32, u8)> {
        match self.name(key) {
            Some(name) => Some((name.number as u32, name.position)),
            None => self.camel_case(key),
        }
    }

    /// Length of the key at the start of `text` and its number, when it is the one of the field at a position, written
    /// the usual way.
    #[inline]
    pub fn expected(&self, position: u8, text: &[u8]) -> Option<(usize, u32)> {
        let field = self.list.get(usize::from(position))?;
        let key = field.key.as_bytes();
        same(text.get(..key.len())?, key).then_some((key.len(), field.number))
    }

    #[cold]
    fn camel_case(&self, key: &[u8]) -> Option<(u32, u8)> {
        let position = self.list.iter().position(|field| is_camel_case_of(key, field.name))?;
        Some((self.number(position as u32), position as u8))
    }
}

/// Whether `key` is protobuf's JSON name for `name`: underscores go, the letter behind each is upper case.
fn is_camel_case_of(key: &[u8], name: &str) -> bool {
    let mut upper = false;
    let mut rest = key.iter();
    for byte in name.bytes() {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let expected = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = false;
        if rest.next() != Some(&expected) {
            return false;
        }
    }
    rest.next().is_none()
}

/// Whether two texts of one length are the same; of four to thirty-two bytes without a call.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    match one.len() {
        4..=8 => ends::<4>(one) == ends(other),
        9..=16 => ends::<8>(one) == ends(other),
        17..=32 => ends::<16>(one) == ends(other),
        _ => one == other,
    }
}

/// The first and the last `N` bytes.
#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (bytes.first_chunk(), bytes.last_chunk())
}

/// An open-addressed table from names to what they stand for. A lookup touches one entry.
#[derive(Debug)]
pub struct Names<const SLOTS: usize> {
    entries: [Name; SLOTS],
}

/// A name, with up to sixteen bytes of it in two words, so that most comparisons need no more.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    head: u64,
    tail: u64,
    /// What it stands for.
    pub number: i32,
    /// Its place among the names.
    pub position: u8,
    /// 0 is a free entry.
    length: u8,
}

impl<const SLOTS: usize> Names<SLOTS> {
    /// An empty table. `SLOTS` is a power of two, well above the number of names.
    pub const fn new() -> Self {
        Self { entries: [Name { head: 0, tail: 0, number: 0, position: 0, length: 0 }; SLOTS] }
    }

    /// Adds a name, at compile time.
    pub const fn insert(&mut self, text: &'static str, number: i32, position: u8) {
        let (head, tail) = words(text.as_bytes());
        let mut slot = slot(head, tail, text.len()) & (SLOTS - 1);
        while self.entries[slot].length != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        self.entries[slot] = Name { head, tail, number, position, length: text.len() as u8 };
    }

    /// Finds a name. `text_at` tells the name at a position; only those of more than sixteen bytes are asked for.
    #[inline]
    pub fn find(&self, name: &[u8], text_at: impl Fn(u8) -> &'static str) -> Option<Name> {
        let (head, tail) = words(name);
        let mut slot = slot(head, tail, name.len()) & (SLOTS - 1);
        loop {
            let known = self.entries[slot];
            if known.length == 0 {
                return None;
            }
            let ends = known.head == head && known.tail == tail && usize::from(known.length) == name.len();
            if ends && (name.len() <= 16 || same(text_at(known.position).as_bytes(), name)) {
                return Some(known);
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
    }
}

/// The first and the last eight bytes; of a shorter name, all of it.
#[inline]
const fn words(name: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return (u32::from_le_bytes(*head) as u64 | (u32::from_le_bytes(*tail) as u64) << 32, 0);
    }
    match name {
        [a, b, c] => (*a as u64 | (*b as u64) << 8 | (*c as u64) << 16, 0),
        [a, b] => (*a as u64 | (*b as u64) << 8, 0),
        [a] => (*a as u64, 0),
        _ => (0, 0),
    }
}

/// Where the search for a name starts.
#[inline]
const fn slot(head: u64, tail: u64, length: usize) -> usize {
    let mixed = (head ^ tail.rotate_left(23)).wrapping_add(length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize
}

/// Which fields of a message a mask selects, whole or in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Bit n: the field at position n is wanted, whole or in part.
    wanted: u64,
    /// Bit n: only what `below` says of it.
    part: u64,
    /// One entry for each bit of `part`, in order.
    below: Vec<Select>,
}

impl Select {
    /// Every field of a message, whole.
    pub fn all(fields: &Fields) -> Self {
        let wanted = if fields.list.len() >= 64 { u64::MAX } else { (1 << fields.list.len()) - 1 };
        Self { wanted, part: 0, below: Vec::new() }
    }

    /// The wanted positions as bits.
    #[inline]
    pub fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Whether the field at a position is wanted, whole or in part.
    #[inline]
    pub fn has(&self, position: u32) -> bool {
        self.wanted >> position & 1 != 0
    }

    /// What is wanted below the field at a position; `None` when it is wanted whole (or not at all).
    #[inline]
    pub fn below(&self, position: u32) -> Option<&Select> {
        if self.part >> position & 1 == 0 {
            return None;
        }
        self.below.get((self.part & ((1 << position) - 1)).count_ones() as usize)
    }

    /// Wants the field at a position whole, which includes whatever was wanted below it.
    pub fn want(&mut self, position: u32) {
        if self.below(position).is_some() {
            self.below.remove((self.part & ((1 << position) - 1)).count_ones() as usize);
            self.part &= !(1 << position);
        }
        self.wanted |= 1 << position;
    }

    /// What is wanted below the field at a position, to add to; `None` when it is already wanted whole.
    pub fn want_below(&mut self, position: u32) -> Option<&mut Select> {
        let bit = 1 << position;
        let at = (self.part & (bit - 1)).count_ones() as usize;
        if self.part & bit == 0 {
            if self.wanted & bit != 0 {
                return None;
            }
            self.wanted |= bit;
            self.part |= bit;
            self.below.insert(at, Select::default());
        }
        self.below.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camel_case_name_is_protobufs_json_name() {
        for (name, camel) in [
            ("source_port", "sourcePort"),
            ("IP", "IP"),
            ("ipVersion", "ipVersion"),
            ("latency_ns", "latencyNs"),
            ("l7", "l7"),
            ("ip_trace_id", "ipTraceId"),
        ] {
            assert!(is_camel_case_of(camel.as_bytes(), name), "{camel}");
            assert!(!is_camel_case_of(format!("{camel}x").as_bytes(), name));
        }
        assert!(!is_camel_case_of(b"sourceport", "source_port"));
        assert!(!is_camel_case_of(b"source", "source_port"));
    }

    #[test]
    fn wanting_a_message_whole_swallows_its_parts() {
        let mut select = Select::default();
        select.want_below(3).unwrap().want(1);
        select.want_below(1).unwrap().want(0);
        assert_eq!(select.below(3).unwrap().wanted(), 2);
        select.want(3);
        assert!(select.has(3) && select.below(3).is_none());
        assert_eq!(select.below(1).unwrap().wanted(), 1);
        assert!(select.want_below(3).is_none());
    }
}
