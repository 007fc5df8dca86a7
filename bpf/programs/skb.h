/* The few fields of the kernel's own structs that the drop object reads; found in the running kernel by CO-RE. */
#pragma once

#include "kernel.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};

struct net {
    struct ns_common ns;
};

typedef struct {
    struct net *net;
} possible_net_t;

struct net_device {
    int ifindex;
    possible_net_t nd_net;
};

struct dst_entry {
    struct net_device *dev;
};

struct sock_common {
    possible_net_t skc_net;
};

struct sock {
    struct sock_common __sk_common;
};

struct sk_buff {
    struct net_device *dev;
    struct sock *sk;
    unsigned int len;
    unsigned int data_len;
    u16 protocol;
    u16 mac_header;
    u16 network_header;
    int skb_iif;
    unsigned long _skb_refdst; /* a struct dst_entry; bit 0 says that no reference is held */
    unsigned int end;
    unsigned char *head;
    unsigned char *data;
};

struct skb_shared_info {
    unsigned short gso_size;
    unsigned short gso_segs;
};

#pragma clang attribute pop
