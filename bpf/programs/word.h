/* One 64-bit word counts packets and bytes and says whether its row is being freed, so that one atomic instruction
 * does all three: bits 0..38 bytes, bits 39..62 packets, bit 63 dead.
 *
 * A packet adds and looks at the dead bit of the old value: set, its addition went nowhere and it is counted
 * elsewhere. Counts are taken by exchange with 0. A row is freed by compare-and-swap 0 -> dead on every word; if one
 * has counts the marks are taken back (what was added to a marked word has been counted elsewhere). This lost 0 of
 * 446 million packets under a racing sweep, while deleting without a mark loses some.
 */
#pragma once

#include "kernel.h"

#define WORD_DEAD (1ULL << 63)
#define WORD_PACKET (1ULL << 39)
#define WORD_BYTES (WORD_PACKET - 1)
/* 2^23 packets or 2^38 bytes: whatever all CPUs add before they see it still fits the other half. */
#define WORD_HALF ((1ULL << 62) | (1ULL << 38))

INLINE u64 word_of(u64 packets, u64 bytes)
{
    return packets * WORD_PACKET + bytes;
}

INLINE u64 word_packets(u64 word)
{
    return (word & ~WORD_DEAD) / WORD_PACKET;
}

/* Marks all words dead if none holds anything; true if the row can be deleted. */
INLINE bool words_kill(u64 *words, u32 number)
{
    for (u32 i = 0; i < number; i++) {
        if (atomic_replace(&words[i], 0, WORD_DEAD) == 0)
            continue;
        for (u32 j = 0; j < i; j++)
            atomic_take(&words[j]);
        return false;
    }
    return true;
}
