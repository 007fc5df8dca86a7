/* A frame as a classifier has it. */
#pragma once

#include "kernel.h"

typedef struct __sk_buff frame;

/* Headers are looked for this far into a frame; no stack of headers that is walked gets there. */
#define MAX_OFFSET 0x7fff

/* Copies `size` bytes at `offset`: from the linear part where they are there, else wherever the skb keeps them.
 * Nothing is pulled or written: an observer must leave the packet as it is. */
INLINE bool load(frame *in, u32 offset, void *to, const u32 size)
{
    void *data = (void *)(long)in->data;
    void *end = (void *)(long)in->data_end;
    if (offset > MAX_OFFSET)
        return false;
    void *at = data + offset;
    if (at + size <= end) {
        __builtin_memcpy(to, at, size);
        return true;
    }
    return skb_load(in, offset, to, size) == 0;
}

INLINE u32 frame_length(frame *in)
{
    return in->len;
}
