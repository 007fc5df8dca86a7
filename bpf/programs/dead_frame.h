/* A frame as a tracing program finds it when the kernel throws it away: from the network header on, as far as it is
 * in one piece. Every read may fail, none can fault. */
#pragma once

#include "kernel.h"

typedef struct {
    u64 network; /* address of the IP header */
    u32 readable;
    u32 length;
} frame;

INLINE bool load(frame *in, u32 offset, void *to, const u32 size)
{
    return offset + size <= in->readable && read_kernel(to, size, (const void *)(in->network + offset)) == 0;
}

INLINE u32 frame_length(frame *in)
{
    return in->length;
}
