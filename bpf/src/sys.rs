//! The bpf(2) calls that are needed beside the loader: maps by descriptor, pins, tcx links by interface index, test
//! runs. Thin: one function a command, arguments checked for length, nothing remembered.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const MAP_DELETE: u32 = 3;
const MAP_NEXT_KEY: u32 = 4;
const OBJECT_PIN: u32 = 6;
const OBJECT_GET: u32 = 7;
const PROGRAM_TEST_RUN: u32 = 10;
const OBJECT_INFO: u32 = 15;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;
const LINK_DETACH: u32 = 34;

/// `BPF_F_BEFORE` without a relative program: the head of the chain.
const FLAG_BEFORE: u32 = 1 << 3;

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapShape {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) key: u32,
    pub(crate) value: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u32,
}

/// Plain data without padding: every field below is spelled out, and unused tails are zero.
#[repr(C)]
struct CreateMap {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Element {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
struct Info {
    descriptor: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: u32,
    zero: u32,
}

#[repr(C)]
struct CreateLink {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    zero: u32,
    revision: u64,
}

#[repr(C)]
struct UpdateLink {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

/// Where a tcx link attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Ingress,
    Egress,
}

impl Hook {
    pub(crate) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

fn bpf<T>(command: u32, attributes: &mut T) -> io::Result<i64> {
    let size = size_of::<T>();
    // SAFETY: `attributes` is a live, exclusively borrowed, fully initialised struct of `size` bytes laid out as the
    // command's part of `union bpf_attr`; the kernel zero-extends a shorter one. Pointers inside it are kept alive by
    // the callers in this file for the whole call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn bpf_fd<T>(command: u32, attributes: &mut T) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, attributes)? as i32;
    // SAFETY: commands used with this function return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd() as u32
}

fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Makes a map; `inner` is the template of a map of maps.
pub(crate) fn map_create(shape: &MapShape, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    let length = shape.name.len().min(name.len() - 1);
    name[..length].copy_from_slice(&shape.name.as_bytes()[..length]);
    bpf_fd(
        MAP_CREATE,
        &mut CreateMap {
            kind: shape.kind,
            key: shape.key,
            value: shape.value,
            entries: shape.entries,
            flags: shape.flags,
            inner: inner.map_or(0, number),
            numa_node: 0,
            name,
        },
    )
}

fn element(map: BorrowedFd<'_>, key: &[u8], value: u64) -> Element {
    Element { map: number(map), zero: 0, key: address(key), value, flags: 0 }
}

/// Copies a value out; `false` if the key is not there. `key` and `value` must have the map's sizes (for per-CPU maps
/// the value's rounded up to 8, times the possible CPUs).
pub(crate) fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let value = value.as_mut_ptr() as u64;
    found(bpf(MAP_LOOKUP, &mut element(map, key, value)))
}

/// The size of a map's values, which may be of another release.
pub(crate) fn map_value_size(map: BorrowedFd<'_>) -> io::Result<usize> {
    // struct bpf_map_info: type, id, key size, value size.
    let mut info = [0_u32; 4];
    let at = info.as_mut_ptr() as u64;
    bpf(OBJECT_INFO, &mut Info { descriptor: number(map), length: size_of_val(&info) as u32, info: at })?;
    Ok(info[3] as usize)
}

/// Sets a value.
pub(crate) fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    bpf(MAP_UPDATE, &mut element(map, key, address(value))).map(|_| ())
}

/// Removes a key; `false` if it was not there.
pub(crate) fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    found(bpf(MAP_DELETE, &mut element(map, key, 0)))
}

/// The key after `key` (the first for `None`); `false` at the end.
pub(crate) fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let key = key.map_or(0, address);
    let next = next.as_mut_ptr() as u64;
    found(bpf(MAP_NEXT_KEY, &mut Element { map: number(map), zero: 0, key, value: next, flags: 0 }))
}

fn found(result: io::Result<i64>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a map, program or link a name in bpffs.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let path = path.as_ptr() as u64;
    bpf(OBJECT_PIN, &mut Object { path, descriptor: number(object), flags: 0 }).map(|_| ())
}

/// Opens what is pinned; `None` if nothing is.
pub(crate) fn open_pin(path: &Path) -> io::Result<Option<OwnedFd>> {
    let path = c_path(path)?;
    match bpf_fd(OBJECT_GET, &mut Object { path: path.as_ptr() as u64, descriptor: 0, flags: 0 }) {
        Ok(descriptor) => Ok(Some(descriptor)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a test run gives the program beside the frame, and gets back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    /// `skb->cb`
    pub(crate) words: [u32; 5],
    /// Interface the frame seems to be on; 0: `lo`.
    pub(crate) ifindex: u32,
    /// Interface it seems to have come in through; 0: none.
    pub(crate) ingress_ifindex: u32,
    pub(crate) gso_segments: u32,
    pub(crate) gso_size: u32,
}

/// Runs a classifier `repeat` times over a frame of at least 14 bytes; nanoseconds a run, as the kernel measured.
pub(crate) fn test_run(program: BorrowedFd<'_>, frame: &[u8], context: &mut Context, repeat: u32) -> io::Result<u32> {
    // Words of struct __sk_buff.
    const INGRESS_IFINDEX: usize = 9;
    const IFINDEX: usize = 10;
    const CB: usize = 12;
    const GSO_SEGMENTS: usize = 41;
    const GSO_SIZE: usize = 44;
    let mut skb = [0_u32; 48];
    skb[CB..CB + 5].copy_from_slice(&context.words);
    skb[INGRESS_IFINDEX] = context.ingress_ifindex;
    skb[IFINDEX] = context.ifindex;
    skb[GSO_SEGMENTS] = context.gso_segments;
    skb[GSO_SIZE] = context.gso_size;
    let at = skb.as_mut_ptr() as u64;
    let size = size_of_val(&skb) as u32;
    let mut attributes = TestRun {
        program: number(program),
        data_size_in: frame.len() as u32,
        data_in: address(frame),
        repeat,
        context_size_in: size,
        context_size_out: size,
        context_in: at,
        context_out: at,
        ..TestRun::default()
    };
    loop {
        match bpf(PROGRAM_TEST_RUN, &mut attributes) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A later kernel's context is longer than ours: what fits has been copied.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => break,
            Err(error) => return Err(error),
        }
    }
    context.words.copy_from_slice(&skb[CB..CB + 5]);
    Ok(attributes.duration)
}

/// Attaches a classifier at the head of an interface's tcx chain (Linux 6.6).
pub(crate) fn tcx_attach(program: BorrowedFd<'_>, ifindex: u32, hook: Hook) -> io::Result<OwnedFd> {
    let attach_type = match hook {
        Hook::Ingress => 46,
        Hook::Egress => 47,
    };
    let program = number(program);
    bpf_fd(LINK_CREATE, &mut CreateLink { program, ifindex, attach_type, flags: FLAG_BEFORE, relative: 0, zero: 0, revision: 0 })
}

/// Attaches a tracing program to the tracepoint it was loaded for.
pub(crate) fn tracepoint_attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    bpf_fd(RAW_TRACEPOINT_OPEN, &mut RawTracepoint { name: 0, program: number(program), zero: 0 })
}

/// Puts another program behind a link, atomically.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_UPDATE, &mut UpdateLink { link: number(link), program: number(program), flags: 0, old_program: 0 }).map(|_| ())
}

/// Takes a link off its hook, whoever else holds it.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_DETACH, &mut number(link)).map(|_| ())
}

/// The interface a tcx link hangs on; 0 once it is gone.
pub(crate) fn tcx_link_ifindex(link: BorrowedFd<'_>) -> io::Result<u32> {
    // struct bpf_link_info: type, id, program id, padding, then for tcx the interface index.
    let mut info = [0_u32; 16];
    let at = info.as_mut_ptr() as u64;
    bpf(OBJECT_INFO, &mut Info { descriptor: number(link), length: size_of_val(&info) as u32, info: at })?;
    Ok(info[4])
}

/// The clock of every time the kernel programs write.
pub(crate) fn nanoseconds_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}
