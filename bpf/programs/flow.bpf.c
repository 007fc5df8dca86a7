/* The programs on the interfaces: count every packet in a row of its flow, never touch it, always let it go on. */

#include "skb_frame.h"
#include "sweep.h"

/* "Not mine to decide": the next program of the chain, then the stack. The same number for tcx and clsact. */
#define NEXT (-1)

/* As on the wire: a super-packet counts as the segments it becomes, each with its own headers, and a tag that the
 * driver took off counts too. */
INLINE void measure(struct __sk_buff *skb, u32 headers, struct sighting *seen)
{
    u32 segments = 1;
    u32 per_segment = headers + (skb->vlan_present ? 4 : 0);
    u32 size = skb->gso_size;
    if (size) {
        segments = skb->gso_segs;
        if (!segments && skb->len > headers) /* unset on frames from virtio, TUN and AF_PACKET */
            segments = (skb->len - headers + size - 1) / size;
        if (!segments)
            segments = 1;
    }
    seen->packets = segments;
    seen->bytes = skb->len + (skb->vlan_present ? 4 : 0) + (u64)(segments - 1) * per_segment;
}

/* Reads the whole frame into `packet`, which comes zeroed. */
INLINE enum unparsed parse(struct __sk_buff *skb, bool l3, struct packet *packet)
{
    struct cursor at = {.type = big16(skb->protocol)};
    if (skb->vlan_present) {
        packet->bits |= BIT_VLAN;
        packet->vlan = skb->vlan_tci;
    }
    if (l3) {
        packet->bits |= BIT_L3_DEVICE;
    } else {
        enum unparsed why = parse_ethernet(skb, &at, packet);
        if (why != PARSED)
            return why;
    }
    return parse_from_ip(skb, &at, packet);
}

INLINE enum counted count_in_row(const struct packet *packet, const struct sighting *seen)
{
    void *rows = rows_of(&packet->key);
    if (!rows)
        return NO_ROOM;
    struct row *row = map_lookup(rows, &packet->key);
    if (!row) {
        enum counted how = make_row(rows, packet, seen);
        if (how == NO_ROOM)
            return NO_ROOM;
        row = map_lookup(rows, &packet->key);
        if (how == MADE_ROW) {
            if (row)
                report(row, &packet->key, WHY_FIRST, seen->now);
            return COUNTED_IN_ROW;
        }
        if (!row)
            return NO_ROOM;
    }
    return add(row, packet, seen);
}

INLINE int watch(struct __sk_buff *skb, bool egress)
{
    u32 ifindex = skb->ifindex;
    struct interface *interface = map_lookup(&interfaces, &ifindex);
    if (!interface) {
        COUNT(unknown_interface, 1);
        return NEXT;
    }
    struct side_counters *counters = &interface->sides[egress];
    struct packet packet = {};
    enum unparsed why = parse(skb, interface->l3, &packet);
    struct sighting seen = {.now = coarse_time_ns(), .ifindex = ifindex};
    seen.side = !egress ? ENTERED : skb->ingress_ifindex ? LEFT_AFTER_ENTERING : LEFT_FROM_HERE;
    measure(skb, packet.headers, &seen);
    count(&counters->seen, seen.packets, seen.bytes);
    if (why != PARSED) {
        count(&counters->unparsed, seen.packets, seen.bytes);
        if (why < UNPARSED_REASONS)
            counters->unparsed_by[why] += seen.packets;
        return NEXT;
    }
    enum counted how = count_in_row(&packet, &seen);
    if (how == COUNTED_IN_ROW)
        return NEXT;
    if (how == COUNTED_AS_OTHER) {
        count(&counters->other, seen.packets, seen.bytes);
    } else if (fold(&packet, &seen)) {
        count(&counters->folded, seen.packets, seen.bytes);
    } else {
        count_unattributed(&seen);
        count(&counters->unattributed, seen.packets, seen.bytes);
    }
    return NEXT;
}

SECTION("classifier") int flowlog_ingress(struct __sk_buff *skb)
{
    return watch(skb, false);
}

SECTION("classifier") int flowlog_egress(struct __sk_buff *skb)
{
    return watch(skb, true);
}

/* cb[0] mode, cb[1] slice, cb[2] ifindex; back: cb[0] rows, cb[1] reported, cb[2] refused, cb[3] freed. */
SECTION("classifier") int flowlog_sweep(struct __sk_buff *skb)
{
    struct sweep sweep = {.now = coarse_time_ns(), .boot = boot_time_ns(), .mode = skb->cb[0], .ifindex = skb->cb[2]};
    u32 slice = skb->cb[1];
    void *rows = map_lookup(&slices, &slice);
    if (rows)
        map_for_each(rows, sweep_row, &sweep, 0);
    COUNT(rows_freed, sweep.freed);
    if (slice == 0) {
        map_for_each(&folds, sweep_fold, &sweep, 0);
        sweep_unattributed(&sweep);
    }
    COUNT(ring_records, sweep.reported);
    COUNT(ring_full, sweep.refused);
    skb->cb[0] = sweep.rows;
    skb->cb[1] = sweep.reported;
    skb->cb[2] = sweep.refused;
    skb->cb[3] = sweep.freed;
    return NEXT;
}

char flowlog_license[] SECTION("license") = "Dual MIT/GPL";
