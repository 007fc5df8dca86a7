/* Counting a packet in the row of its flow, and reporting what a row holds. */
#pragma once

#include "row.h"

/* What of a packet is counted, and where. */
struct sighting {
    u64 now; /* coarse clock */
    u64 bytes;
    u32 packets;
    u32 ifindex;
    u32 side; /* enum side, as far as the hook decides it */
    u32 zero;
};

INLINE u32 hook_of(u32 side)
{
    return side == ENTERED ? 0 : 1;
}

INLINE u64 latest(const u64 *times)
{
    u64 last = times[0] > times[1] ? times[0] : times[1];
    return last > times[2] ? last : times[2];
}

INLINE void take_tcp(struct tcp_counts *to, struct tcp_counts *from)
{
    /* Most flows have nothing here: a load is cheaper than an exchange. */
    to->syn = from->syn ? atomic_take(&from->syn) : 0;
    to->fin = from->fin ? atomic_take(&from->fin) : 0;
    to->rst = from->rst ? atomic_take(&from->rst) : 0;
    to->flags = from->flags ? atomic_take(&from->flags) : 0;
}

/* Moves everything a row holds into a reserved record; true if there was anything. */
INLINE bool take(struct flow_report *report, const struct flow_key *key, struct row *row, u8 why, u64 now,
                 u64 boot)
{
    u64 any = 0;
    u64 last = latest(row->times);
    u16 size = row->bits & BIT_TUNNEL ? sizeof(struct tunnel_report) : sizeof(struct flow_report);
    fill_header(&report->header, KIND_FLOW, size, why, row->bits & ~BIT_CLOSED, boot);
    report->header.vlan = row->vlan;
    report->key = *key;
    report->last_ns = to_boot(boot, now, last);
    report->first_ns = to_boot(boot, now, row->first_ns ? row->first_ns : last);
    row->first_ns = 0;
    row->reported_ns = now;
    for (int i = 0; i < SIDES; i++) {
        u64 word = row->words[i] ? atomic_take(&row->words[i]) : 0;
        report->words[i] = word & ~WORD_DEAD;
        any |= word;
    }
    take_tcp(&report->tcp[0], &row->tcp[0]);
    take_tcp(&report->tcp[1], &row->tcp[1]);
    report->owners[0] = row->owners[0];
    report->owners[1] = row->owners[1];
    __builtin_memcpy(report->destination_mac, row->macs, 6);
    __builtin_memcpy(report->source_mac, row->macs + 6, 6);
    report->began = row->began;
    __builtin_memset(report->zero, 0, sizeof(report->zero));
    return any;
}

/* Reports a row's counts; false if the ring is full and they stayed. */
ALONE int report(struct row *row, const struct flow_key *key, u8 why, u64 now)
{
    struct flow_report *record;
    bool any;
    if (!row || !key)
        return false;
    if (row->bits & BIT_TUNNEL) {
        struct tunnel_report *outer = RESERVE(sizeof(*outer));
        if (!outer)
            goto full;
        outer->tunnel = row->tunnel;
        record = &outer->flow;
        any = take(record, key, row, why, now, boot_time_ns());
        if (any)
            ring_submit(outer, 0);
        else
            ring_discard(outer, 0);
    } else {
        record = RESERVE(sizeof(*record));
        if (!record)
            goto full;
        any = take(record, key, row, why, now, boot_time_ns());
        if (any)
            ring_submit(record, 0);
        else
            ring_discard(record, 0);
    }
    if (any)
        COUNT(ring_records, 1);
    return true;
full:
    row->reported_ns = now - report_interval_ns + RETRY_NS;
    COUNT(ring_full, 1);
    return false;
}

INLINE void count_tcp(struct tcp_counts *to, u16 flags)
{
    if (flags & TCP_SYN)
        atomic_add(&to->syn, 1);
    if (flags & TCP_FIN)
        atomic_add(&to->fin, 1);
    if (flags & TCP_RST)
        atomic_add(&to->rst, 1);
    if (~to->flags & flags)
        atomic_or(&to->flags, flags);
}

/* How the row of the reverse tuple began, -1 if there is none; sets `bits` in it. */
ALONE int mark_reverse(const struct flow_key *key, u32 bits)
{
    if (!key)
        return -1;
    struct flow_key reverse = *key;
    __builtin_memcpy(reverse.source, key->destination, 16);
    __builtin_memcpy(reverse.destination, key->source, 16);
    reverse.source_port = key->destination_port;
    reverse.destination_port = key->source_port;
    void *rows = rows_of(&reverse);
    struct row *row = rows ? map_lookup(rows, &reverse) : 0;
    if (row && bits)
        atomic_or(&row->bits, bits);
    return row ? row->began : -1;
}

INLINE u8 beginning_of(const struct packet *packet)
{
    u8 protocol = packet->key.protocol;
    if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6) /* their types say it */
        return BEGAN_UNKNOWN;
    if (protocol != PROTOCOL_TCP) {
        int other = mark_reverse(&packet->key, 0);
        return other == BEGAN_ANSWERING || other < 0 ? BEGAN_OPENING : other == BEGAN_OPENING ? BEGAN_ANSWERING : BEGAN_UNKNOWN;
    }
    if (!(packet->tcp_flags & TCP_SYN))
        return BEGAN_UNKNOWN;
    return packet->tcp_flags & TCP_ACK ? BEGAN_ANSWERING : BEGAN_OPENING;
}

/* How a packet was counted. */
enum counted { COUNTED_IN_ROW, COUNTED_AS_OTHER, MADE_ROW, NOT_COUNTED, NO_ROOM };

/* Makes the row with its first packet in it. NOT_COUNTED: another CPU was faster, look it up again. */
NOINLINE enum counted make_row(void *rows, const struct packet *packet, const struct sighting *seen)
{
    u32 hook = hook_of(seen->side);
    struct row row = {.vlan = packet->vlan, .bits = packet->bits, .tunnel = packet->tunnel};
    __builtin_memcpy(row.macs, packet->macs, sizeof(row.macs));
    row.began = beginning_of(packet);
    row.first_ns = seen->now;
    row.reported_ns = seen->now;
    row.words[seen->side & 3] = word_of(seen->packets, seen->bytes);
    /* Both hooks spelled out: a variable index into the stack is not worth what the verifier asks for it. */
    struct tcp_counts counts = {.flags = packet->tcp_flags};
    if (packet->key.protocol == PROTOCOL_TCP) {
        counts.syn = !!(packet->tcp_flags & TCP_SYN);
        counts.fin = !!(packet->tcp_flags & TCP_FIN);
        counts.rst = !!(packet->tcp_flags & TCP_RST);
    }
    u32 flags = packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
    if (hook == 0) {
        row.times[0] = seen->now;
        row.owners[0] = seen->ifindex;
        row.tcp[0] = counts;
        row.seen[0] = flags;
    } else {
        row.times[1] = seen->now;
        row.owners[1] = seen->ifindex;
        row.tcp[1] = counts;
        row.seen[1] = flags;
    }
    if (flags & (TCP_FIN | TCP_RST))
        row.bits |= BIT_CLOSED;
    long error = map_update(rows, &packet->key, &row, BPF_NOEXIST);
    if (error == -17) /* EEXIST */
        return NOT_COUNTED;
    if (error)
        return NO_ROOM;
    COUNT(rows_made, 1);
    return MADE_ROW;
}

/* Which word of the row this interface adds to. `why` becomes WHY_FIRST when the side begins here. */
INLINE u32 side_of(struct row *row, const struct flow_key *key, const struct sighting *seen, u8 *why)
{
    u32 hook = hook_of(seen->side) & 1;
    u32 owner = row->owners[hook];
    if (owner == seen->ifindex)
        return seen->side;
    if (!owner) {
        owner = atomic_replace(&row->owners[hook], 0, seen->ifindex);
        if (!owner)
            *why = WHY_FIRST;
        return !owner || owner == seen->ifindex ? seen->side : OTHER;
    }
    /* The owner has been silent for a report interval and this interface is not: the flow took another way. What the
     * owner counted is reported under its name first. */
    if ((s64)(seen->now - row->times[hook]) < (s64)report_interval_ns)
        return OTHER;
    if (!report(row, key, WHY_INTERVAL, seen->now))
        return OTHER;
    if (atomic_replace(&row->owners[hook], owner, seen->ifindex) != owner)
        return OTHER;
    COUNT(owners_moved, 1);
    return seen->side;
}

/* The interface index of `lo` in every network namespace. */
#define LOOPBACK 1

/* A packet that is put into a tunnel forgets which interface it came in through, and seems made here. Inside a tunnel, what was seen
 * entering leaves after entering. */
INLINE u32 side_through_tunnel(u32 side, const struct packet *packet, u32 entered_at)
{
    if (side != LEFT_FROM_HERE || !(packet->bits & BIT_TUNNEL) || !entered_at || entered_at == LOOPBACK)
        return side;
    return LEFT_AFTER_ENTERING;
}

/* Adds a packet to a row that exists. */
INLINE enum counted add(struct row *row, const struct packet *packet, const struct sighting *seen)
{
    const struct flow_key *key = &packet->key;
    u8 why = 0;
    u32 side = side_through_tunnel(side_of(row, key, seen, &why), packet, row->owners[0]) & 3;
    u32 hook = hook_of(side) & 1;
    u64 *word = &row->words[side];
    u64 before = *word;
    if (before & WORD_HALF && !(before & WORD_DEAD) && !report(row, key, WHY_INTERVAL, seen->now)) {
        COUNT(half_full, 1);
        return NO_ROOM;
    }
    u32 flags = packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
    if (side != OTHER && packet->tcp_flags) {
        if (flags & ~row->seen[hook]) {
            atomic_or(&row->seen[hook], flags);
            why = why ? why : WHY_FLAG;
            if (flags & (TCP_FIN | TCP_RST))
                atomic_or(&row->bits, BIT_CLOSED);
            /* The other direction of a connection that was reset will not end by itself. */
            if (flags & TCP_RST)
                mark_reverse(key, BIT_CLOSED);
        }
        if (flags || ~row->tcp[hook].flags & packet->tcp_flags)
            count_tcp(&row->tcp[hook], packet->tcp_flags);
    }
    if (packet->bits & BIT_FRAGMENT && !(row->bits & BIT_FRAGMENT))
        atomic_or(&row->bits, BIT_FRAGMENT);
    row->times[side == OTHER ? 2 : hook] = seen->now;
    if (!row->first_ns)
        row->first_ns = seen->now;
    before = atomic_add(word, word_of(seen->packets, seen->bytes));
    if (before & WORD_DEAD) {
        COUNT(met_dead_row, 1);
        return NO_ROOM;
    }
    if (!why && (s64)(seen->now - row->reported_ns) >= (s64)report_interval_ns)
        why = WHY_INTERVAL;
    if (why)
        report(row, key, why, seen->now);
    return side == OTHER ? COUNTED_AS_OTHER : COUNTED_IN_ROW;
}
