/* The words of this folder: integer types, the helpers that are called, atomics, byte order.
 *
 * Only <linux/bpf.h> of the UAPI is used, no dump of a kernel's own types, so that one object serves every kernel
 * from 5.15 on. Atomics that return the old value need `-mcpu=v3`.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* A function with a stack of its own. */
#define NOINLINE static __attribute__((noinline))
/* A function that the verifier checks once, by itself, instead of at every call (Linux 5.12): it may be handed nothing
 * but numbers, the context and plain memory, and looks whether there is any. */
#define ALONE __attribute__((noinline))

/* How a map is described to the loader (BTF). */
#define MAP_INT(name, value) int(*name)[value]
#define MAP_TYPE(name, type) type *name

static void *(*const map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) =
    (void *)BPF_FUNC_map_update_elem;
static long (*const map_delete)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static long (*const map_for_each)(void *map, void *callback, void *context, u64 flags) =
    (void *)BPF_FUNC_for_each_map_elem;
static u32 (*const processor_id)(void) = (void *)BPF_FUNC_get_smp_processor_id;
/* Rows use the coarse clock (monotonic, a tick of 1 to 10 ms): it costs a third of the exact one, which in a guest is a
 * quarter of a packet's price. Reports carry exact boot time, see to_boot(). */
static u64 (*const coarse_time_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static u64 (*const boot_time_ns)(void) = (void *)BPF_FUNC_ktime_get_boot_ns;
static long (*const skb_load)(const void *skb, u32 offset, void *to, u32 size) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const read_kernel)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;
static void *(*const ring_reserve)(void *ring, u64 size, u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*const ring_submit)(void *record, u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static void (*const ring_discard)(void *record, u64 flags) = (void *)BPF_FUNC_ringbuf_discard;

#define atomic_add(at, value) __sync_fetch_and_add(at, value)
#define atomic_or(at, value) __sync_fetch_and_or(at, value)
#define atomic_take(at) __sync_lock_test_and_set(at, 0) /* a full exchange on BPF */
#define atomic_replace(at, old, new) __sync_val_compare_and_swap(at, old, new)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define big16(value) __builtin_bswap16(value)
#define little32(value) ((u32)(value))
#define pair16(first, second) ((u32)(first) | (u32)(second) << 16) /* two half words as they lie in memory */
#else
#define big16(value) (value)
#define little32(value) __builtin_bswap32(value)
#define pair16(first, second) ((u32)(first) << 16 | (u32)(second))
#endif
