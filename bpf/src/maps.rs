//! The maps of one instance: made with the sizes asked for, pinned, and opened again. Their layouts are the structs
//! of `programs/`; the kernel refuses to load programs that do not fit them.
//!
//! The `meta` map is pinned last, so a folder that has one is complete.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::event::LAYOUT_VERSION;
use crate::sys::{self, MapShape};
use crate::tables::MARK_SIZE;
use crate::{Error, Options};

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const ARRAY_OF_MAPS: u32 = 12;
const RINGBUF: u32 = 27;
const NO_PREALLOC: u32 = 1;

/// Rows of one map of rows, so that one call of the sweep stays around a millisecond.
const ROWS_PER_SLICE: u32 = 8192;
/// As in `programs/row.h`.
const MAX_SLICES: u32 = 512;
/// Interfaces with counters at one time.
const INTERFACES: u32 = 4096;

/// `struct flow_key`.
pub(crate) const KEY_SIZE: usize = 40;
/// `struct row`.
pub(crate) const ROW_SIZE: usize = 184;
/// `struct fold_row`.
pub(crate) const FOLD_SIZE: usize = 120;
/// `struct unattributed`.
pub(crate) const UNATTRIBUTED_SIZE: usize = 48;
/// `struct interface`.
pub(crate) const INTERFACE_SIZE: usize = 248;
/// `struct totals`.
pub(crate) const TOTALS_SIZE: usize = 136;
/// `struct drop_key`.
pub(crate) const DROP_KEY_SIZE: usize = 48;
/// `struct drop_row`.
pub(crate) const DROP_ROW_SIZE: usize = 48;

/// What decides whether pins found can be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) slices: u32,
    pub(crate) rows_per_slice: u32,
    pub(crate) rings: u32,
    pub(crate) ring_bytes: u32,
    pub(crate) fold_rows: u32,
    pub(crate) drop_rows: u32,
}

impl Sizes {
    /// Rounds what was asked for to what maps can have.
    pub(crate) fn of(options: &Options) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let rings = options.rings.unwrap_or(if cpus > 16 { cpus / 8 } else { 1 });
        let rings = rings.clamp(1, 16).next_power_of_two();
        let asked = options.ring_bytes.unwrap_or((cpus << 20).clamp(8 << 20, 64 << 20));
        let page = rustix::param::page_size() as u32;
        let ring_bytes = (asked.min(1 << 30) / rings).next_power_of_two().max(page);
        let rows = options.rows.clamp(64, ROWS_PER_SLICE * MAX_SLICES);
        let slices = rows.div_ceil(ROWS_PER_SLICE).next_power_of_two();
        Self {
            slices,
            rows_per_slice: rows.div_ceil(slices),
            rings,
            ring_bytes,
            fold_rows: options.fold_rows.clamp(16, 1 << 20),
            drop_rows: options.drop_rows.clamp(16, 1 << 20),
        }
    }
}

/// The value of the `meta` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Of the records.
    pub(crate) layout: u32,
    pub(crate) sizes: Sizes,
    /// Size of a mark; the programs do not know marks, so nothing else tells that they are another release's.
    pub(crate) mark_size: u32,
    /// Random; names the rings in every intake frame.
    pub(crate) instance: [u8; 16],
    /// Of the programs that are attached; set after all links have them.
    pub(crate) programs: u64,
    /// Boot clock when the maps were made.
    pub(crate) made_boot_ns: u64,
}

impl Meta {
    const SIZE: usize = 64;

    fn encode(&self) -> [u8; Self::SIZE] {
        let sizes = &self.sizes;
        let numbers = [self.layout, sizes.slices, sizes.rows_per_slice, sizes.rings, sizes.ring_bytes];
        let mut bytes = [0; Self::SIZE];
        for (at, number) in numbers.into_iter().chain([sizes.fold_rows, sizes.drop_rows, self.mark_size]).enumerate() {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&number.to_ne_bytes());
        }
        bytes[32..48].copy_from_slice(&self.instance);
        bytes[48..56].copy_from_slice(&self.programs.to_ne_bytes());
        bytes[56..].copy_from_slice(&self.made_boot_ns.to_ne_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let number = |at: usize| u32_at(bytes, at * 4);
        let mut instance = [0; 16];
        instance.copy_from_slice(&bytes[32..48]);
        let sizes = Sizes {
            slices: number(1),
            rows_per_slice: number(2),
            rings: number(3),
            ring_bytes: number(4),
            fold_rows: number(5),
            drop_rows: number(6),
        };
        let (programs, made_boot_ns) = (u64_at(bytes, 48), u64_at(bytes, 56));
        Self { layout: number(0), sizes, mark_size: number(7), instance, programs, made_boot_ns }
    }
}

/// The word at a byte offset of a value; 0 beyond its end.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_ne_bytes(*word))
}

/// The half word at a byte offset of a value; 0 beyond its end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

/// Open descriptors of every map of an instance.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) rows: Vec<OwnedFd>,
    pub(crate) rings: Vec<OwnedFd>,
    pub(crate) folds: OwnedFd,
    pub(crate) unattributed: OwnedFd,
    pub(crate) interfaces: OwnedFd,
    pub(crate) totals: OwnedFd,
    pub(crate) drops: OwnedFd,
    /// How each interface was attached; the programs do not know it.
    pub(crate) marks: OwnedFd,
    meta: OwnedFd,
}

fn shape(name: &'static str, kind: u32, key: usize, value: usize, entries: u32) -> MapShape {
    MapShape { name, kind, key: key as u32, value: value as u32, entries, flags: 0 }
}

/// Makes a map and pins it under its name.
fn make(folder: &Path, shape: &MapShape, pin: &str) -> Result<OwnedFd, Error> {
    let map = create(shape, None)?;
    sys::pin(map.as_fd(), &folder.join(pin)).map_err(|source| Error::pin(&folder.join(pin), source))?;
    Ok(map)
}

fn create(shape: &MapShape, inner: Option<std::os::fd::BorrowedFd<'_>>) -> Result<OwnedFd, Error> {
    sys::map_create(shape, inner).map_err(|source| Error::MakeMap {
        name: shape.name,
        entries: shape.entries,
        hint: match Errno::from_io_error(&source) {
            Some(Errno::PERM) => "run as root, or with CAP_BPF and CAP_NET_ADMIN",
            Some(Errno::NOMEM | Errno::TOOBIG) => "ask for fewer rows or smaller rings",
            _ => "the kernel may be older than 5.15; see the feature table",
        },
        source,
    })
}

/// Makes an array of maps and fills it with `inner`, each pinned as `<name>_<number>`.
fn make_outer(folder: &Path, outer: &MapShape, inner: &MapShape, number: u32) -> Result<Vec<OwnedFd>, Error> {
    let pins: Vec<String> = (0..number).map(|at| format!("{}_{at}", inner.name)).collect();
    let inner: Vec<OwnedFd> = pins.iter().map(|pin| make(folder, inner, pin)).collect::<Result<_, _>>()?;
    let map = create(outer, inner.first().map(AsFd::as_fd))?;
    for (at, inner) in (0_u32..).zip(&inner) {
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(inner);
        sys::map_update(map.as_fd(), &at.to_ne_bytes(), &descriptor.to_ne_bytes()).map_err(|source| Error::Map {
            what: "fill",
            name: outer.name,
            source,
        })?;
    }
    let path = folder.join(outer.name);
    sys::pin(map.as_fd(), &path).map_err(|source| Error::pin(&path, source))?;
    Ok(inner)
}

impl Maps {
    /// Names that the programs use, each pinned in the instance's folder.
    pub(crate) const PROGRAM_MAPS: [&'static str; 7] = ["slices", "rings", "folds", "unattributed", "interfaces", "totals", "drops"];

    /// Makes all maps of a new instance in an empty folder.
    pub(crate) fn make(folder: &Path, meta: &Meta) -> Result<Self, Error> {
        let sizes = &meta.sizes;
        let row = shape("rows", HASH, KEY_SIZE, ROW_SIZE, sizes.rows_per_slice);
        let ring = shape("ring", RINGBUF, 0, 0, sizes.ring_bytes);
        let rows = make_outer(folder, &shape("slices", ARRAY_OF_MAPS, 4, 4, MAX_SLICES), &row, sizes.slices)?;
        let rings = make_outer(folder, &shape("rings", ARRAY_OF_MAPS, 4, 4, 16), &ring, sizes.rings)?;
        let interface = MapShape { flags: NO_PREALLOC, ..shape("interfaces", PERCPU_HASH, 4, INTERFACE_SIZE, INTERFACES) };
        let folds = make(folder, &shape("folds", HASH, KEY_SIZE, FOLD_SIZE, sizes.fold_rows), "folds")?;
        let drops = make(folder, &shape("drops", HASH, DROP_KEY_SIZE, DROP_ROW_SIZE, sizes.drop_rows), "drops")?;
        let unattributed = make(folder, &shape("unattributed", ARRAY, 4, UNATTRIBUTED_SIZE, 1), "unattributed")?;
        let interfaces = make(folder, &interface, "interfaces")?;
        let totals = make(folder, &shape("totals", PERCPU_ARRAY, 4, TOTALS_SIZE, 1), "totals")?;
        let marks = make(folder, &shape("marks", HASH, 4, MARK_SIZE, INTERFACES), "marks")?;
        let maps = Self {
            marks,
            meta: create(&shape("meta", ARRAY, 4, Meta::SIZE, 1), None)?,
            rows,
            rings,
            folds,
            unattributed,
            interfaces,
            totals,
            drops,
        };
        maps.write_meta(meta)?;
        let path = folder.join("meta");
        sys::pin(maps.meta.as_fd(), &path).map_err(|source| Error::pin(&path, source))?;
        Ok(maps)
    }

    /// Opens the maps of a pinned instance.
    pub(crate) fn open(folder: &Path, sizes: &Sizes) -> Result<Self, Error> {
        let open = |name: &str| {
            let path = folder.join(name);
            match sys::open_pin(&path) {
                Ok(Some(map)) => Ok(map),
                Ok(None) => Err(Error::pin(&path, io::ErrorKind::NotFound.into())),
                Err(source) => Err(Error::pin(&path, source)),
            }
        };
        let several = |name: &str, number: u32| (0..number).map(|at| open(&format!("{name}_{at}"))).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            rows: several("rows", sizes.slices)?,
            rings: several("ring", sizes.rings)?,
            folds: open("folds")?,
            unattributed: open("unattributed")?,
            interfaces: open("interfaces")?,
            totals: open("totals")?,
            drops: open("drops")?,
            marks: open("marks")?,
            meta: open("meta")?,
        })
    }

    /// What a folder says of itself; `None` if it was never finished.
    pub(crate) fn read_meta(folder: &Path) -> Result<Option<Meta>, Error> {
        let path = folder.join("meta");
        let Some(map) = sys::open_pin(&path).map_err(|source| Error::pin(&path, source))? else {
            return Ok(None);
        };
        let failed = |source| Error::Map { what: "read", name: "meta", source };
        // Another release's may be longer, and the kernel writes all of it.
        let mut value = vec![0; sys::map_value_size(map.as_fd()).map_err(failed)?.max(Meta::SIZE)];
        let found = sys::map_lookup(map.as_fd(), &[0; 4], &mut value).map_err(failed)?;
        Ok(value.first_chunk().filter(|_| found).map(Meta::decode))
    }

    /// Replaces the meta value.
    pub(crate) fn write_meta(&self, meta: &Meta) -> Result<(), Error> {
        sys::map_update(self.meta.as_fd(), &[0; 4], &meta.encode()).map_err(|source| Error::Map { what: "write", name: "meta", source })
    }
}

impl Meta {
    /// A new one for these sizes.
    pub(crate) fn new(sizes: Sizes) -> io::Result<Self> {
        let mut instance = [0; 16];
        let mut filled = 0;
        while filled < instance.len() {
            filled += rustix::rand::getrandom(&mut instance[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        let made_boot_ns = sys::nanoseconds_since_boot();
        Ok(Self { layout: u32::from(LAYOUT_VERSION), sizes, mark_size: MARK_SIZE as u32, instance, programs: 0, made_boot_ns })
    }

    /// Whether this release can go on with such maps, when it asks for these sizes.
    pub(crate) fn fits(&self, sizes: &Sizes) -> bool {
        self.layout == u32::from(LAYOUT_VERSION) && self.sizes == *sizes && self.mark_size == MARK_SIZE as u32
    }
}
