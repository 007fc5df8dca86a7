//! Builds a segment file out of a fuzzer's bytes: whole frames with right sums, as a fuzzer would never find them, then damage.
//!
//! Each step is a byte that says what, and a few that say how much. Steps of a *wild* kind write frames whose sums are right and whose
//! contents nobody would have written; of a file with such a frame nothing can be foretold but that reading it ends.

use flowlog_sinks::spool::{Commit, HEAD, Head, Kind, LogKind, ORIGIN, SEGMENT_HEAD, Seed, SegmentHead, SpoolId};

/// A segment, and what it was made of.
pub struct Built {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// The line of each record, from number 1 on.
    pub lines: Vec<Vec<u8>>,
    /// The raw bytes of each intake frame with its position.
    pub raw: Vec<(u64, Vec<u8>)>,
    /// Whether a frame is none that this program writes.
    pub wild: bool,
    id: SpoolId,
    ring_position: u64,
}

/// Takes a fuzzer's bytes apart; nothing is left at the end.
pub struct Take<'i>(pub &'i [u8]);

impl<'i> Take<'i> {
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn bytes(&mut self, most: usize) -> &'i [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
}

impl Built {
    /// A segment of this log. Frames are those that a log of its kind has.
    pub fn new(id: SpoolId, kind: LogKind, node: &str, input: &[u8]) -> Self {
        let head =
            SegmentHead { kind, node: node.to_owned(), id, base: 0, number: u64::from(kind == LogKind::Spool), created: 1, previous: None };
        let mut built = Self { file: head.encode().to_vec(), lines: Vec::new(), raw: Vec::new(), wild: false, id, ring_position: 0 };
        let mut input = Take(input);
        let mut damage = Vec::new();
        while !input.0.is_empty() {
            match (input.byte() & 15, kind) {
                (0..=5, LogKind::Spool) => built.records(&mut input),
                (0..=8, LogKind::Intake) => built.raw(&mut input),
                (6 | 7, _) => built.commit(),
                (8, _) => {
                    let length = usize::from(input.byte());
                    built.frame(Kind::Hidden, 0, built.next(), &vec![7; length]);
                }
                (9, _) => built.wild_frame(&mut input, Kind::Commit),
                (10, _) => built.wild_frame(&mut input, Kind::Records),
                (11, _) => built.wild_frame(&mut input, Kind::Raw),
                (what, _) => damage.push((what, input.number(), input.byte())),
            }
        }
        damage.into_iter().for_each(|(what, at, how)| built.harm(what, at, how));
        built
    }

    fn next(&self) -> u64 {
        self.lines.len() as u64 + 1
    }

    fn frame(&mut self, kind: Kind, count: u32, number: u64, payload: &[u8]) {
        let payload_crc = crc32c::crc32c_append(crc32c::crc32c_append(0, &self.id.0), payload);
        let position = (self.file.len() - SEGMENT_HEAD) as u64;
        let head = Head { kind, length: payload.len() as u32, count, position, number, payload_crc };
        self.file.extend_from_slice(&head.encode(Seed::of(&self.id)));
        self.file.extend_from_slice(payload);
    }

    fn records(&mut self, input: &mut Take<'_>) {
        let (first, mut payload, count) = (self.next(), Vec::new(), u32::from(input.byte() & 7));
        for _ in 0..count {
            let line = format!("{:0>width$}", self.next(), width = usize::from(input.byte()) + 1).into_bytes();
            payload.extend_from_slice(&(line.len() as u32).to_le_bytes());
            payload.extend_from_slice(&[3, 0, 4, 0]);
            payload.extend_from_slice(&5_i64.to_le_bytes());
            payload.extend_from_slice(&[0; 4]);
            payload.extend_from_slice(b"key\x01l\x00\x00");
            payload.extend_from_slice(&line);
            self.lines.push(line);
        }
        self.frame(Kind::Records, count, first, &payload);
    }

    fn commit(&mut self) {
        let commit = Commit { first: 1, next: self.next(), time: 9, ..Commit::default() };
        let payload = serde_json::to_vec(&commit).expect("a commit is JSON");
        self.frame(Kind::Commit, 0, self.next(), &payload);
    }

    fn raw(&mut self, input: &mut Take<'_>) {
        let missing = input.byte() >> 6;
        let length = usize::from(input.byte()) + 1;
        let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
        self.ring_position += u64::from(missing);
        let mut payload = vec![0; ORIGIN];
        payload[0] = 1;
        payload[16] = 9;
        payload[32..40].copy_from_slice(&self.ring_position.to_le_bytes());
        payload.extend_from_slice(&bytes);
        self.ring_position += length as u64;
        self.raw.push(((self.file.len() - SEGMENT_HEAD) as u64, bytes));
        self.frame(Kind::Raw, 0, 0, &payload);
    }

    fn wild_frame(&mut self, input: &mut Take<'_>, kind: Kind) {
        self.wild = true;
        let (count, number) = (u32::from(input.byte()), self.next().wrapping_add_signed(i64::from(input.byte() as i8)));
        let payload = input.bytes(usize::from(input.0.first().copied().unwrap_or(0)));
        self.frame(kind, count, number, payload);
    }

    fn harm(&mut self, what: u8, at: usize, how: u8) {
        let length = self.file.len();
        match what {
            12 => self.file[at % length] ^= 1 << (how & 7),
            13 => self.file.truncate(length - at % (length + 1)),
            14 => {
                let from = at % length;
                let to = (from + usize::from(how)).min(length);
                self.file[from..to].fill(0);
            }
            _ => self.file.extend(std::iter::repeat_n(how, at % (4 * HEAD))),
        }
        if self.file.is_empty() {
            self.file.push(how);
        }
    }
}
