/* What is counted beside the rows: per interface, and in all. Per CPU, cumulative, never reset.
 *
 * Per interface and direction: seen = unparsed + in rows + other + folded + unattributed, where "in rows" is what the
 * rows report or still hold under that interface.
 */
#pragma once

#include "kernel.h"

struct count {
    u64 packets;
    u64 bytes;
};

enum unparsed { NOT_IP = 0, TRUNCATED, BAD_HEADER, EXTENSION_HEADERS, VLAN_DEPTH, UNPARSED_REASONS, PARSED };

struct side_counters {
    struct count seen;
    struct count unparsed;
    struct count other;
    struct count folded;
    struct count unattributed;
    u64 unparsed_by[UNPARSED_REASONS];
};

/* Written by user space before the programs are attached there. */
struct interface {
    u64 l3; /* no Ethernet header */
    struct side_counters sides[2]; /* ingress, egress */
};

struct totals {
    u64 ring_records;
    u64 ring_full;
    u64 rows_made;
    u64 rows_freed;
    u64 fold_rows_made;
    u64 fold_rows_freed;
    u64 owners_moved;
    u64 half_full;
    u64 met_dead_row;
    u64 unknown_interface;
    struct count drops_counted;
    struct count drops_unattributed;
    u64 drops_unparsed;
    u64 drops_unspecified;
    u64 drops_spent;
};

_Static_assert(sizeof(struct interface) == 248, "interface");
_Static_assert(sizeof(struct totals) == 136, "totals");

struct {
    MAP_INT(type, BPF_MAP_TYPE_PERCPU_HASH);
    MAP_INT(max_entries, 4096);
    MAP_INT(map_flags, BPF_F_NO_PREALLOC);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct interface);
} interfaces SECTION(".maps");

struct {
    MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    MAP_INT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct totals);
} totals SECTION(".maps");

/* For programs that run with bottom halves off: nothing interrupts an addition on this CPU. */
#define COUNT(field, by)                                                                                               \
    do {                                                                                                               \
        u32 only = 0;                                                                                                  \
        struct totals *in = map_lookup(&totals, &only);                                                                \
        if (in)                                                                                                        \
            in->field += (by);                                                                                         \
    } while (0)

/* For tracing programs, which interrupt themselves. */
#define COUNT_ATOMIC(field, by)                                                                                        \
    do {                                                                                                               \
        u32 only = 0;                                                                                                  \
        struct totals *in = map_lookup(&totals, &only);                                                                \
        if (in)                                                                                                        \
            atomic_add(&in->field, (by));                                                                              \
    } while (0)

INLINE void count(struct count *to, u64 packets, u64 bytes)
{
    to->packets += packets;
    to->bytes += bytes;
}
