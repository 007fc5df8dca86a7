/* A frame as a classifier has it. */
#pragma once

#include "kernel.h"

typedef struct __sk_buff frame;

/* Headers are looked for this far into a frame; no stack of headers that is walked gets there. */
#define MAX_OFFSET 0x7fff

/* Copies `size` bytes at `offset`: from the linear part where they are there, else wherever the skb keeps them.
 * Nothing is pulled or written: an observer must leave the packet as it is.
 *
 * The alignment is claimed, not known: without it the compiler copies byte by byte, three instructions each. A load of
 * any alignment is one instruction where the kernel has HAVE_EFFICIENT_UNALIGNED_ACCESS (x86-64, arm64); elsewhere the
 * verifier refuses it, and nothing misreads. */
INLINE bool load(frame *in, u32 offset, void *to, const u32 size)
{
    void *data = (void *)(long)in->data;
    void *end = (void *)(long)in->data_end;
    if (offset > MAX_OFFSET)
        return false;
    void *at = data + offset;
    /* What is claimed of one place says nothing about the next. */
    asm("" : "+r"(at));
    if (at + size <= end) {
        __builtin_memcpy(to, __builtin_assume_aligned(at, 8), size);
        return true;
    }
    return skb_load(in, offset, to, size) == 0;
}

INLINE u32 frame_length(frame *in)
{
    return in->len;
}
