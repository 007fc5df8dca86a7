//! How the process's allocator gives freed memory back. It stands here only because unsafe code lives in this crate alone.

/// Above this a piece of memory is asked from the system by itself, and given back when it is freed; so much that is free at the end of a heap is given
/// back as well. Both are what glibc begins with, bytes.
#[cfg(target_env = "gnu")]
const THRESHOLD: i32 = 128 << 10;

/// Gives back what is free now, wherever it lies. Walks through all that is free, so some milliseconds in a process that has freed much.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own locks, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has freed memory given back early; call it before the first thread is started.
///
/// By default glibc raises both thresholds, up to 32 and 64 MiB, each time that a larger piece is freed, and what was needed once, as the kernel's types
/// while programs are loaded or the frames of one large window, stays with the process for good.
pub fn give_back_early() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers and reads no memory of ours; nothing else is changing these while there is one thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, THRESHOLD);
    }
}
