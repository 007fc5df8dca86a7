/* What the loader sets before the programs are loaded; constants to the verifier. */
#pragma once

#include "kernel.h"

const volatile u64 report_interval_ns = 5000000000ULL;
const volatile u64 idle_ns = 30000000000ULL;
const volatile u64 tcp_idle_ns = 300000000000ULL;
const volatile u64 tcp_closed_ns = 10000000000ULL;
const volatile u32 slice_mask = 0;                   /* number of row maps, a power of two, minus 1 */
const volatile u32 ring_mask = 0;                    /* number of rings, a power of two, minus 1 */
const volatile u32 vxlan_ports = 4789 | 8472 << 16;  /* two ports, 0 for none */
const volatile u32 geneve_ports = 6081;
const volatile u32 network_namespace = 0;            /* inode number of ours; drops elsewhere are "after" */

/* How long a report that found the ring full waits before the row tries again. */
#define RETRY_NS 100000000ULL
