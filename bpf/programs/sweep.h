/* The sweep: reports rows whose interval passed, frees those that are idle. User space runs it as a test run of a
 * classifier, which needs no privilege once the program is open, and can be pinned with the programs it belongs to.
 *
 * Arguments and results travel in the five words of skb->cb. One call takes one slice of rows, so that a large table
 * never holds a CPU for long; call number 0 also takes the fold rows.
 */
#pragma once

#include "fold.h"

/* What is to be reported. Freeing idle rows happens in every mode. */
enum sweep_mode {
    SWEEP_DUE = 0,       /* what waits for its interval */
    SWEEP_ALL = 1,       /* everything that holds counts */
    SWEEP_INTERFACE = 2, /* rows with a side at one interface */
    SWEEP_DETACH = 3,    /* everything, and every row is freed */
};

struct sweep {
    u64 now; /* coarse clock */
    u64 boot;
    u32 mode;
    u32 ifindex;
    u32 rows;
    u32 reported;
    u32 refused;
    u32 freed;
};

INLINE bool is_idle(const struct row *row, u8 protocol, u64 now)
{
    u64 limit = idle_ns;
    if (protocol == PROTOCOL_TCP)
        limit = row->bits & BIT_CLOSED ? tcp_closed_ns : tcp_idle_ns;
    return (s64)(now - latest(row->times)) >= (s64)limit;
}

INLINE u8 why_now(const struct sweep *sweep, const struct row *row, u8 protocol, u64 any)
{
    if (sweep->mode == SWEEP_DETACH)
        return WHY_DETACH;
    if (is_idle(row, protocol, sweep->now))
        return protocol == PROTOCOL_TCP && row->bits & BIT_CLOSED ? WHY_CLOSED : WHY_IDLE;
    if (!any)
        return 0;
    bool here = row->owners[0] == sweep->ifindex || row->owners[1] == sweep->ifindex;
    bool due = (s64)(sweep->now - row->reported_ns) >= (s64)report_interval_ns;
    if (due || sweep->mode == SWEEP_ALL || (sweep->mode == SWEEP_INTERFACE && here))
        return WHY_INTERVAL;
    return 0;
}

/* Takes the counts into the record, then frees the row if that is wanted and nothing came meanwhile. */
INLINE bool take_and_free(void *rows, const struct flow_key *key, struct row *row, struct flow_report *record, u8 why,
                          struct sweep *sweep)
{
    bool any = take(record, key, row, why, sweep->now, sweep->boot);
    if (why == WHY_INTERVAL)
        return any;
    if (!words_kill(row->words, SIDES))
        return any;
    map_delete(rows, key);
    sweep->freed++;
    record->header.bits |= BIT_LAST;
    return true;
}

static long sweep_row(void *rows, const struct flow_key *at, struct row *row, struct sweep *sweep)
{
    struct flow_key key = *at;
    u64 any = row->words[0] | row->words[1] | row->words[2] | row->words[3];
    u8 why = why_now(sweep, row, key.protocol, any);
    sweep->rows++;
    if (!why)
        return 0;
    bool wrote;
    if (row->bits & BIT_TUNNEL) {
        struct tunnel_report *record = RESERVE(sizeof(*record));
        if (!record)
            goto full;
        record->tunnel = row->tunnel;
        wrote = take_and_free(rows, &key, row, &record->flow, why, sweep);
        if (wrote)
            ring_submit(record, 0);
        else
            ring_discard(record, 0);
    } else {
        struct flow_report *record = RESERVE(sizeof(*record));
        if (!record)
            goto full;
        wrote = take_and_free(rows, &key, row, record, why, sweep);
        if (wrote)
            ring_submit(record, 0);
        else
            ring_discard(record, 0);
    }
    sweep->reported += wrote;
    return 0;
full:
    if (any) {
        sweep->refused++;
        return 0;
    }
    /* Nothing to lose: the row can go unannounced, and a new flow have its place. */
    if (words_kill(row->words, SIDES)) {
        map_delete(rows, &key);
        sweep->freed++;
    }
    return 0;
}

INLINE bool fold_has_counts(const struct fold_row *row)
{
    return row->packets[0] | row->packets[1] | row->packets[2] | row->packets[3];
}

INLINE void take_fold(struct fold_report *record, const struct flow_key *key, struct fold_row *row, u8 why,
                      const struct sweep *sweep)
{
    fill_header(&record->header, KIND_FOLD, sizeof(*record), why, 0, sweep->boot);
    record->key = *key;
    record->last_ns = to_boot(sweep->boot, sweep->now, row->last_ns);
    record->first_ns = to_boot(sweep->boot, sweep->now, row->first_ns ? row->first_ns : row->last_ns);
    row->first_ns = 0;
    for (int i = 0; i < SIDES; i++) {
        record->packets[i] = atomic_take(&row->packets[i]) & ~WORD_DEAD;
        record->bytes[i] = atomic_take(&row->bytes[i]);
    }
    take_tcp(&record->tcp[0], &row->tcp[0]);
    take_tcp(&record->tcp[1], &row->tcp[1]);
    record->owners[0] = row->owners[0];
    record->owners[1] = row->owners[1];
}

static long sweep_fold(void *map, const struct flow_key *at, struct fold_row *row, struct sweep *sweep)
{
    struct flow_key key = *at;
    bool any = fold_has_counts(row);
    bool idle = sweep->mode == SWEEP_DETACH || (s64)(sweep->now - row->last_ns) >= (s64)idle_ns;
    sweep->rows++;
    if (!any && !idle)
        return 0;
    struct fold_report *record = RESERVE(sizeof(*record));
    if (!record) {
        sweep->refused += any;
        return 0;
    }
    take_fold(record, &key, row, sweep->mode == SWEEP_DETACH ? WHY_DETACH : idle ? WHY_IDLE : WHY_INTERVAL, sweep);
    if (idle && words_kill(row->packets, SIDES)) {
        map_delete(map, &key);
        COUNT(fold_rows_freed, 1);
        record->header.bits |= BIT_LAST;
    }
    ring_submit(record, 0);
    sweep->reported++;
    return 0;
}

INLINE void sweep_unattributed(struct sweep *sweep)
{
    u32 only = 0;
    struct unattributed *sums = map_lookup(&unattributed, &only);
    if (!sums || !(sums->packets[0] | sums->packets[1] | sums->bytes[0] | sums->bytes[1]))
        return;
    struct unattributed_report *record = RESERVE(sizeof(*record));
    if (!record) {
        sweep->refused++;
        return;
    }
    fill_header(&record->header, KIND_UNATTRIBUTED, sizeof(*record), WHY_INTERVAL, 0, sweep->boot);
    record->last_ns = to_boot(sweep->boot, sweep->now, sums->last_ns);
    record->first_ns = to_boot(sweep->boot, sweep->now, sums->first_ns ? sums->first_ns : sums->last_ns);
    sums->first_ns = 0;
    for (int i = 0; i < 2; i++) {
        record->packets[i] = atomic_take(&sums->packets[i]);
        record->bytes[i] = atomic_take(&sums->bytes[i]);
    }
    ring_submit(record, 0);
    sweep->reported++;
}
