/* What the kernel writes into the ring: one fixed layout a kind, read by src/event.rs.
 *
 * Promises: host byte order, every size a multiple of 8, no padding the compiler chose, addresses as IPv6 (IPv4
 * mapped), ports in host order, times in nanoseconds of the boot clock. Sizes and offsets are asserted here and in
 * src/event.rs. Whoever changes a layout raises LAYOUT_VERSION, and event.rs keeps reading the version before it.
 */
#pragma once

#include "kernel.h"

#define LAYOUT_VERSION 1

enum kind { KIND_FLOW = 1, KIND_DROP = 2, KIND_FOLD = 3, KIND_UNATTRIBUTED = 4 };

/* Why a row was reported now. */
enum why { WHY_FIRST = 1, WHY_FLAG = 2, WHY_INTERVAL = 3, WHY_IDLE = 4, WHY_CLOSED = 5, WHY_DETACH = 6 };

/* Where a packet was counted. The index of the words of a row. */
enum side { ENTERED = 0, LEFT_AFTER_ENTERING = 1, LEFT_FROM_HERE = 2, OTHER = 3, SIDES = 4 };

/* Bits of header.bits */
#define BIT_LAST 1      /* the row was freed: nothing more comes from it */
#define BIT_L3_DEVICE 2 /* the interface has no Ethernet header */
#define BIT_FRAGMENT 4  /* a fragment was seen; later fragments have ports 0 */
#define BIT_TUNNEL 8    /* a struct tunnel follows */
#define BIT_AFTER 16    /* drop: behind the egress hook, in another namespace, or a clone */
#define BIT_ENTERED 32  /* drop: the packet had come in through an interface */
#define BIT_VLAN 64     /* header.vlan is a VLAN id (and priority bits), else 0 */

/* What the first packet of a row says of the flow's direction: a SYN opens a connection and a SYN with ACK answers one;
 * of other protocols a packet answers where the reverse tuple has a row that opened, and goes on where it has one that
 * answered. 0 where nothing is known, or where the key says it, as ICMP's. */
enum began { BEGAN_UNKNOWN = 0, BEGAN_OPENING = 1, BEGAN_ANSWERING = 2 };

/* The 5-tuple of one direction. ICMP: type in source_port, code in destination_port. Also the key of the rows. Its
 * alignment is what its neighbours have anyway; saying so lets it be copied in words. */
struct flow_key {
    u8 source[16];
    u8 destination[16];
    u16 source_port;
    u16 destination_port;
    u8 protocol;
    u8 family; /* 4 or 6 */
    u16 zero;
} __attribute__((aligned(8)));

struct tunnel {
    u8 source[16];
    u8 destination[16];
    u16 source_port;
    u16 destination_port;
    u32 vni_and_kind; /* bits 0..23 network id, bits 24..31 enum tunnel_kind */
} __attribute__((aligned(8)));

enum tunnel_kind { TUNNEL_NONE = 0, TUNNEL_VXLAN = 1, TUNNEL_GENEVE = 2 };

struct header {
    u8 version;
    u8 kind;
    u16 size; /* of the record, this header included */
    u8 why;
    u8 bits;
    u16 vlan;
    u64 boot_ns; /* when it was reported */
};

/* What one side saw of TCP. */
struct tcp_counts {
    u32 syn;
    u32 fin;
    u32 rst;
    u32 flags; /* OR over what the report covers; bit 8 is NS */
};

/* Counts are packed words, as the rows hold them: bits 0..38 bytes, bits 39..62 packets, bit 63 zero. */
struct flow_report {
    struct header header;
    struct flow_key key;
    u64 first_ns;
    u64 last_ns;
    u64 words[4];             /* enum side */
    struct tcp_counts tcp[2]; /* entered, left */
    u32 owners[2];            /* the interfaces that count them */
    u8 source_mac[6];
    u8 destination_mac[6];
    u8 began; /* enum began */
    u8 zero[3];
};

struct tunnel_report {
    struct flow_report flow;
    struct tunnel tunnel;
};

struct drop_report {
    struct header header;
    struct flow_key key;
    u64 first_ns;
    u64 last_ns;
    u64 count; /* packed word */
    u32 reason;
    u32 ifindex;
    u64 tcp_flags; /* OR over what the report covers */
};

/* Flows that found no row of their own, summed with the ephemeral port set to 0. Plain 64-bit counts. */
struct fold_report {
    struct header header;
    struct flow_key key;
    u64 first_ns;
    u64 last_ns;
    u64 packets[4]; /* enum side */
    u64 bytes[4];
    struct tcp_counts tcp[2];
    u32 owners[2];
};

/* Packets that found not even a fold row. */
struct unattributed_report {
    struct header header;
    u64 first_ns;
    u64 last_ns;
    u64 packets[2]; /* entered, left */
    u64 bytes[2];
};

_Static_assert(sizeof(struct flow_key) == 40, "flow_key");
_Static_assert(sizeof(struct tunnel) == 40, "tunnel");
_Static_assert(sizeof(struct header) == 16, "header");
_Static_assert(sizeof(struct flow_report) == 160, "flow_report");
_Static_assert(__builtin_offsetof(struct flow_report, words) == 72, "flow_report.words");
_Static_assert(__builtin_offsetof(struct flow_report, owners) == 136, "flow_report.owners");
_Static_assert(sizeof(struct tunnel_report) == 200, "tunnel_report");
_Static_assert(sizeof(struct drop_report) == 96, "drop_report");
_Static_assert(sizeof(struct fold_report) == 176, "fold_report");
_Static_assert(sizeof(struct unattributed_report) == 64, "unattributed_report");
