/* What the kernel throws away, and why: `kfree_skb` with its reason (Linux 5.17), counted per tuple and reason in rows
 * that report deltas as flow rows do.
 *
 * A drop lies between our two hooks, or "after": behind the egress hook (queue, device), before the ingress hook, in
 * a tap, or in another network namespace. In another namespace, and on an interface that is not watched, it counts
 * only for flows that passed our hooks. Reasons up to NOT_SPECIFIED are no drops to speak of, and a transport that
 * frees what its socket needs no more (spent) drops nothing either: both are counted and left alone.
 */

#include "dead_frame.h"
#include "row.h"
#include "skb.h"

/* Set by the loader from the running kernel's names. Reasons from 256 on belong to subsystems; none is "after". */
const volatile u32 reason_not_specified = 2;
const volatile u64 after_reasons[4] = {};
const volatile u64 spent_reasons[4] = {};

struct drop_key {
    struct flow_key flow;
    u32 reason;
    u32 bits; /* BIT_AFTER, BIT_ENTERED */
};

struct drop_row {
    u64 word;
    u64 first_ns;
    u64 last_ns;
    u64 reported_ns;
    u64 tcp_flags; /* OR since the last report */
    u32 ifindex;
    u32 bits; /* BIT_FRAGMENT */
};

_Static_assert(sizeof(struct drop_key) == 48, "drop_key");
_Static_assert(sizeof(struct drop_row) == 48, "drop_row");

struct {
    MAP_INT(type, BPF_MAP_TYPE_HASH);
    MAP_INT(max_entries, 16384);
    MAP_TYPE(key, struct drop_key);
    MAP_TYPE(value, struct drop_row);
} drops SECTION(".maps");

INLINE bool take_drop(struct drop_report *report, const struct drop_key *key, struct drop_row *row, u8 why, u64 now)
{
    fill_header(&report->header, KIND_DROP, sizeof(*report), why, key->bits | row->bits, now);
    report->key = key->flow;
    report->last_ns = row->last_ns;
    report->first_ns = row->first_ns ? row->first_ns : row->last_ns;
    row->first_ns = 0;
    row->reported_ns = now;
    report->count = atomic_take(&row->word) & ~WORD_DEAD;
    report->reason = key->reason;
    report->ifindex = row->ifindex;
    report->tcp_flags = atomic_take(&row->tcp_flags);
    return report->count;
}

NOINLINE bool report_drop(struct drop_row *row, const struct drop_key *key, u8 why, u64 now)
{
    struct drop_report *record = RESERVE(sizeof(*record));
    if (!record) {
        row->reported_ns = now - report_interval_ns + RETRY_NS;
        COUNT_ATOMIC(ring_full, 1);
        return false;
    }
    if (take_drop(record, key, row, why, now)) {
        ring_submit(record, 0);
        COUNT_ATOMIC(ring_records, 1);
    } else {
        ring_discard(record, 0);
    }
    return true;
}

/* False: no row, or its counter is half full and the ring too. */
INLINE bool add_drop(const struct drop_key *key, struct drop_row *first, u64 packets, u64 bytes)
{
    u64 now = first->last_ns;
    u8 why = 0;
    struct drop_row *row = map_lookup(&drops, key);
    if (!row) {
        long error = map_update(&drops, key, first, BPF_NOEXIST);
        why = error ? 0 : WHY_FIRST;
        row = map_lookup(&drops, key);
        if (!row)
            return false;
    }
    if (row->word & WORD_HALF && !report_drop(row, key, WHY_INTERVAL, now))
        return false;
    row->last_ns = now;
    if (!row->first_ns)
        row->first_ns = now;
    if (~row->bits & first->bits)
        atomic_or(&row->bits, first->bits);
    if (~row->tcp_flags & first->tcp_flags)
        atomic_or(&row->tcp_flags, first->tcp_flags);
    if (atomic_add(&row->word, word_of(packets, bytes)) & WORD_DEAD)
        return false;
    if (!why && (s64)(now - row->reported_ns) >= (s64)report_interval_ns)
        why = WHY_INTERVAL;
    if (why)
        report_drop(row, key, why, now);
    return true;
}

/* A transport has taken the device off what it received, maybe in a pod: 0, so that it counts as behind our hooks. */
INLINE u32 namespace_of(struct sk_buff *skb)
{
    struct net_device *device = skb->dev;
    if (device)
        return device->nd_net.net->ns.inum;
    struct sock *socket = skb->sk;
    return socket ? socket->__sk_common.skc_net.net->ns.inum : 0;
}

INLINE bool passed_our_hooks(const struct flow_key *key)
{
    void *rows = rows_of(key);
    return rows && map_lookup(rows, key);
}

/* Where the packet was: its device, the one it came in through, or the one it was routed to. */
INLINE u32 interface_of(struct sk_buff *skb)
{
    struct net_device *device = skb->dev;
    if (device)
        return device->ifindex;
    if (skb->skb_iif)
        return skb->skb_iif;
    struct dst_entry *route = (void *)(skb->_skb_refdst & ~1ul);
    u32 ifindex = 0;
    if (route && !read_kernel(&device, sizeof(device), &route->dev) && device)
        read_kernel(&ifindex, sizeof(ifindex), &device->ifindex);
    return ifindex;
}

INLINE bool among(const volatile u64 *reasons, u32 reason)
{
    u32 word = reason >> 6;
    /* Or the compiler leaves out the mask, which is what bounds the index for the verifier. */
    asm("" : "+r"(word));
    return reason < 256 && reasons[word & 3] >> (reason & 63) & 1;
}

/* As flow.bpf.c measures a frame, as far as it still has its link-layer header. */
INLINE u64 measure(struct sk_buff *skb, u32 link_header, u32 headers, u64 *bytes)
{
    u16 size = 0, segments = 0;
    struct skb_shared_info *info = (void *)(skb->head + skb->end);
    read_kernel(&size, sizeof(size), &info->gso_size);
    read_kernel(&segments, sizeof(segments), &info->gso_segs);
    headers += link_header;
    u32 length = (u32)(skb->data - skb->head) + skb->len - skb->network_header + link_header;
    u64 packets = 1;
    if (size)
        packets = segments ? segments : length > headers ? (length - headers + size - 1) / size : 1;
    *bytes = length + (packets - 1) * headers;
    return packets;
}

/* Counts a packet that was read. Apart from what reads it: until Linux 6.13 the stacks of all functions that are called one
 * in another have 512 bytes together, and parsing what is inside a tunnel takes three of them. */
NOINLINE int count_dropped(struct sk_buff *skb, const struct packet *packet, u32 reason)
{
    u32 link = skb->mac_header;
    u32 network = skb->network_header;
    struct drop_key key = {.flow = packet->key, .reason = reason};
    bool elsewhere = namespace_of(skb) != network_namespace;
    u32 ifindex = interface_of(skb);
    bool watched = !elsewhere && (!ifindex || map_lookup(&interfaces, &ifindex));
    if (!watched && !passed_our_hooks(&key.flow))
        return 0;
    key.bits = (elsewhere || among(after_reasons, reason) ? BIT_AFTER : 0) | (skb->skb_iif ? BIT_ENTERED : 0);
    u64 bytes;
    u64 packets = measure(skb, link != 0xffff && link < network ? network - link : 0, packet->headers, &bytes);
    u64 now = boot_time_ns();
    struct drop_row first = {.first_ns = now, .last_ns = now, .reported_ns = now, .ifindex = elsewhere ? 0 : ifindex,
                             .bits = packet->bits & BIT_FRAGMENT, .tcp_flags = packet->tcp_flags};
    if (add_drop(&key, &first, packets, bytes)) {
        COUNT_ATOMIC(drops_counted.packets, packets);
        COUNT_ATOMIC(drops_counted.bytes, bytes);
    } else {
        COUNT_ATOMIC(drops_unattributed.packets, packets);
        COUNT_ATOMIC(drops_unattributed.bytes, bytes);
    }
    return 0;
}

SECTION("tp_btf/kfree_skb") int flowlog_drop(u64 *arguments)
{
    struct sk_buff *skb = (void *)arguments[0];
    u32 reason = arguments[2];
    if (reason <= reason_not_specified) {
        if (reason == reason_not_specified)
            COUNT_ATOMIC(drops_unspecified, 1);
        return 0;
    }
    if (among(spent_reasons, reason)) {
        COUNT_ATOMIC(drops_spent, 1);
        return 0;
    }
    u32 headroom = skb->data - skb->head;
    u32 network = skb->network_header;
    frame dead = {.network = (u64)(skb->head + network)};
    dead.length = headroom + skb->len - network;
    dead.readable = dead.length - skb->data_len;
    struct packet packet = {};
    struct cursor at = {.type = big16(skb->protocol)};
    bool sane = network != 0xffff && headroom + skb->len > network && dead.length >= skb->data_len;
    if (!sane || parse_from_ip(&dead, &at, &packet) != PARSED) {
        COUNT_ATOMIC(drops_unparsed, 1);
        return 0;
    }
    return count_dropped(skb, &packet, reason);
}

struct drop_sweep {
    u64 now;
    u32 all; /* report whatever holds counts */
    u32 detach;
    u32 rows;
    u32 reported;
    u32 refused;
    u32 freed;
};

/* There are few rows for drops, and the first one of a row is reported at once: one that has been silent for an interval makes room. */
INLINE bool drop_is_idle(const struct drop_row *row, u64 now)
{
    u64 limit = idle_ns < report_interval_ns ? idle_ns : report_interval_ns;
    return (s64)(now - row->last_ns) >= (s64)limit;
}

static long sweep_drop(void *map, const struct drop_key *at, struct drop_row *row, struct drop_sweep *sweep)
{
    struct drop_key key = *at;
    bool any = row->word;
    bool idle = sweep->detach || drop_is_idle(row, sweep->now);
    bool due = any && (sweep->all || (s64)(sweep->now - row->reported_ns) >= (s64)report_interval_ns);
    sweep->rows++;
    if (!idle && !due)
        return 0;
    struct drop_report *record = RESERVE(sizeof(*record));
    if (!record) {
        sweep->refused += any;
        return 0;
    }
    u8 why = sweep->detach ? WHY_DETACH : idle ? WHY_IDLE : WHY_INTERVAL;
    bool wrote = take_drop(record, &key, row, why, sweep->now);
    if (idle && words_kill(&row->word, 1)) {
        map_delete(map, &key);
        sweep->freed++;
        record->header.bits |= BIT_LAST;
        wrote = true;
    }
    if (wrote)
        ring_submit(record, 0);
    else
        ring_discard(record, 0);
    sweep->reported += wrote;
    return 0;
}

/* Words as those of flowlog_sweep; the slice is ignored. */
SECTION("classifier") int flowlog_drop_sweep(struct __sk_buff *skb)
{
    u32 mode = skb->cb[0];
    struct drop_sweep sweep = {.now = boot_time_ns(), .all = mode != 0, .detach = mode == 3};
    map_for_each(&drops, sweep_drop, &sweep, 0);
    COUNT_ATOMIC(ring_records, sweep.reported);
    COUNT_ATOMIC(ring_full, sweep.refused);
    skb->cb[0] = sweep.rows;
    skb->cb[1] = sweep.reported;
    skb->cb[2] = sweep.refused;
    skb->cb[3] = sweep.freed;
    return -1;
}

char flowlog_license[] SECTION("license") = "Dual MIT/GPL";
