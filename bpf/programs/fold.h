/* What finds no row of its own: a fold row sums flows with their ephemeral port removed; what finds not even that is
 * only counted. Both are 64 bits wide, so they hold whatever comes while nobody reads.
 *
 * A fold row's packets and bytes are two words. It is freed only after a long idle time, so a packet that has added
 * to the one has long added to the other; the dead bit of the packets decides, as in word.h.
 */
#pragma once

#include "count.h"

struct fold_row {
    u64 packets[SIDES]; /* bit 63: dead */
    u64 bytes[SIDES];
    u64 first_ns;
    u64 last_ns;
    u32 owners[2];
    struct tcp_counts tcp[2];
};

struct unattributed {
    u64 first_ns;
    u64 last_ns;
    u64 packets[2];
    u64 bytes[2];
};

_Static_assert(sizeof(struct fold_row) == 120, "fold_row");
_Static_assert(sizeof(struct unattributed) == 48, "unattributed");

struct {
    MAP_INT(type, BPF_MAP_TYPE_HASH);
    MAP_INT(max_entries, 8192);
    MAP_TYPE(key, struct flow_key);
    MAP_TYPE(value, struct fold_row);
} folds SECTION(".maps");

struct {
    MAP_INT(type, BPF_MAP_TYPE_ARRAY);
    MAP_INT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct unattributed);
} unattributed SECTION(".maps");

/* The fold rule: of two ports the higher is taken for the client's (IANA's ephemeral range is at the top, and a
 * server's port is as a rule the lower). ICMP types and codes stay. */
INLINE void remove_ephemeral_port(struct flow_key *key)
{
    if (key->protocol == PROTOCOL_ICMP || key->protocol == PROTOCOL_ICMPV6)
        return;
    if (key->source_port >= key->destination_port)
        key->source_port = 0;
    else
        key->destination_port = 0;
}

INLINE struct fold_row *fold_row_of(const struct flow_key *key)
{
    struct fold_row *row = map_lookup(&folds, key);
    if (row)
        return row;
    struct fold_row empty = {};
    if (map_update(&folds, key, &empty, BPF_NOEXIST) == 0)
        COUNT(fold_rows_made, 1);
    return map_lookup(&folds, key);
}

/* Sums a packet without its ephemeral port; false if there is no room for that either. */
ALONE int fold(const struct packet *packet, const struct sighting *seen)
{
    if (!packet || !seen)
        return false;
    struct flow_key key = packet->key;
    remove_ephemeral_port(&key);
    struct fold_row *row = fold_row_of(&key);
    if (!row)
        return false;
    u32 hook = hook_of(seen->side) & 1;
    u32 owner = row->owners[hook];
    if (!owner)
        owner = atomic_replace(&row->owners[hook], 0, seen->ifindex);
    u32 side = !owner || owner == seen->ifindex ? seen->side : OTHER;
    side = side_through_tunnel(side, packet, row->owners[0]) & 3;
    row->last_ns = seen->now;
    if (!row->first_ns)
        row->first_ns = seen->now;
    if (side != OTHER)
        count_tcp(&row->tcp[hook], packet->tcp_flags);
    if (atomic_add(&row->packets[side], (u64)seen->packets) & WORD_DEAD)
        return false;
    atomic_add(&row->bytes[side], seen->bytes);
    return true;
}

/* The last resort, which has always room. */
INLINE void count_unattributed(const struct sighting *seen)
{
    u32 only = 0;
    struct unattributed *sums = map_lookup(&unattributed, &only);
    if (!sums)
        return;
    u32 hook = hook_of(seen->side) & 1;
    sums->last_ns = seen->now;
    if (!sums->first_ns)
        sums->first_ns = seen->now;
    atomic_add(&sums->packets[hook], (u64)seen->packets);
    atomic_add(&sums->bytes[hook], seen->bytes);
}
