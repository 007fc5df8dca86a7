/* A row per flow and direction of its tuple. It counts on two sides, each at the first interface that saw the flow
 * there; what further interfaces see goes to OTHER. It reports what it counted since its last report (a delta), so a
 * report that finds the ring full loses nothing: the counts stay.
 *
 * The words are exact under any race (word.h). Times, flags and the TCP counts are advisory: stored and OR-ed beside
 * them. A packet that has looked a row up just before it is deleted may, within nanoseconds, add to the row that
 * gets the memory next; totals stay exact.
 */
#pragma once

#include "parse.h"
#include "ring.h"
#include "word.h"

#define BIT_CLOSED 0x80 /* row only: a FIN or RST went by in either direction */

struct row {
    u64 words[SIDES];
    u64 times[3]; /* coarse clock; last packet: at the owner of ingress, of egress, at any other interface */
    u64 first_ns; /* of what is not reported yet; 0: nothing */
    u64 reported_ns;
    u32 owners[2];
    struct tcp_counts tcp[2];
    u32 seen[2]; /* SYN, FIN, RST seen on a side so far */
    u8 macs[12];
    u16 vlan;
    u8 began; /* enum began */
    u8 zero;
    u32 bits;
    u32 zero2;
    struct tunnel tunnel;
};

_Static_assert(sizeof(struct row) == 184, "row");

/* One map of rows a slice; made by user space, so that a sweep can take them one at a time. Sizes, not
 * types: what is reached only through `values` the compiler leaves undescribed. */
struct {
    MAP_INT(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    MAP_INT(max_entries, 512);
    MAP_TYPE(key, u32);
    struct {
        MAP_INT(type, BPF_MAP_TYPE_HASH);
        MAP_INT(max_entries, 8192);
        MAP_INT(key_size, sizeof(struct flow_key));
        MAP_INT(value_size, sizeof(struct row));
    } * values[];
} slices SECTION(".maps");

INLINE void *rows_of(const struct flow_key *key)
{
    u32 slice = 0;
    if (slice_mask) {
        const u64 *words = (const u64 *)key;
        u64 mix = 0;
        for (int i = 0; i < 5; i++)
            mix = (mix ^ words[i]) * 0x9e3779b97f4a7c15ULL;
        slice = (mix >> 40) & slice_mask;
    }
    return map_lookup(&slices, &slice);
}
