/* A frame as a tracing program finds it when the kernel throws it away: from the network header on, as far as it is
 * in one piece. Every read may fail, none can fault. */
#pragma once

#include "kernel.h"

struct frame {
    const u8 *network; /* where the IP header starts */
    u32 readable;
    u32 length;
};

INLINE bool load(const struct frame *frame, u32 offset, void *to, const u32 size)
{
    return offset + size <= frame->readable && read_kernel(to, size, frame->network + offset) == 0;
}

INLINE u32 frame_length(const struct frame *frame)
{
    return frame->length;
}
