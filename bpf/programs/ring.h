/* The rings: one, or one for a group of CPUs. A record is reserved before counts are taken out of a row, so that a
 * full ring leaves them where they are. */
#pragma once

#include "config.h"
#include "counters.h"
#include "report.h"

struct {
    MAP_INT(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    MAP_INT(max_entries, 16);
    MAP_TYPE(key, u32);
    struct {
        MAP_INT(type, BPF_MAP_TYPE_RINGBUF);
        MAP_INT(max_entries, 4096);
    } * values[];
} rings SECTION(".maps");

INLINE void *ring_of_this_cpu(void)
{
    u32 number = ring_mask ? processor_id() & ring_mask : 0;
    return map_lookup(&rings, &number);
}

/* The macro keeps the size a constant, as the verifier asks. */
#define RESERVE(size)                                                                                                  \
    ({                                                                                                                 \
        void *ring = ring_of_this_cpu();                                                                               \
        ring ? ring_reserve(ring, size, 0) : (void *)0;                                                                \
    })

INLINE void fill_header(struct header *header, u8 kind, u16 size, u8 why, u8 bits, u64 boot)
{
    header->version = LAYOUT_VERSION;
    header->kind = kind;
    header->size = size;
    header->why = why;
    header->bits = bits;
    header->vlan = 0;
    header->boot_ns = boot;
}

/* A moment of the coarse clock as boot time, given both clocks' now. */
INLINE u64 to_boot(u64 boot, u64 now, u64 then)
{
    return then && then < now ? boot - (now - then) : boot;
}
