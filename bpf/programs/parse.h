/* From a frame to its 5-tuple, for both objects: whoever includes this has a type `frame` with load(frame, offset, to,
 * size) and frame_length(frame) (skb_frame.h, dead_frame.h).
 *
 * Knows Ethernet with an accelerated and one inline VLAN tag, IPv4 with options, IPv6 with extension headers, TCP,
 * UDP, SCTP, ICMP, ICMPv6, fragments, and what VXLAN and Geneve carry. Never reads behind the IP packet's own length
 * (an Ethernet frame may be padded). Later fragments, and first ones that end inside the transport header, have ports
 * 0; so have protocols without ports. What can't be read has a reason (enum unparsed), and only then is a packet
 * without a flow.
 */
#pragma once

#include "config.h"
#include "counters.h"
#include "report.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_BRIDGED 0x6558 /* an Ethernet frame inside Geneve */

#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AUTHENTICATION 51
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_SCTP 132
#define PROTOCOL_MOBILITY 135
#define PROTOCOL_HOST_IDENTITY 139
#define PROTOCOL_SHIM6 140

#define MAX_EXTENSION_HEADERS 8

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

struct packet {
    struct flow_key key;
    struct tunnel tunnel;
    u8 macs[12]; /* destination, source: as on the wire */
    u16 vlan;
    u16 tcp_flags;
    u32 bits;    /* BIT_L3_DEVICE, BIT_FRAGMENT, BIT_VLAN, BIT_TUNNEL */
    u32 headers; /* bytes up to the end of the (inner) transport header */
};

struct ethernet {
    u8 macs[12];
    u16 type;
};

struct vlan_tag {
    u16 tag;
    u16 type;
};

struct ipv4 {
    u8 version_and_length;
    u8 tos;
    u16 total_length;
    u16 id;
    u16 fragment;
    u8 ttl;
    u8 protocol;
    u16 checksum;
    u32 source;
    u32 destination;
};

struct ipv6 {
    u32 version_and_flow;
    u16 payload_length;
    u8 next_header;
    u8 hop_limit;
    u64 source[2];
    u64 destination[2];
};

/* Where a layer starts, what it is, and where its packet ends. */
struct cursor {
    u32 offset;
    u32 end;
    u16 type; /* ethertype, then IP protocol */
    bool later_fragment;
};

INLINE bool is_vlan(u16 type)
{
    return type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ;
}

/* Ethernet header and at most one inline tag. */
INLINE enum unparsed parse_ethernet(frame *in, struct cursor *at, struct packet *packet)
{
    struct ethernet ethernet;
    if (!load(in, at->offset, &ethernet, sizeof(ethernet)))
        return TRUNCATED;
    __builtin_memcpy(packet->macs, ethernet.macs, sizeof(packet->macs));
    at->type = big16(ethernet.type);
    at->offset += sizeof(ethernet);
    if (!is_vlan(at->type))
        return PARSED;
    struct vlan_tag tag;
    if (!load(in, at->offset, &tag, sizeof(tag)))
        return TRUNCATED;
    if (!(packet->bits & BIT_VLAN)) {
        packet->bits |= BIT_VLAN;
        packet->vlan = big16(tag.tag);
    }
    at->type = big16(tag.type);
    at->offset += sizeof(tag);
    return is_vlan(at->type) ? VLAN_DEPTH : PARSED;
}

/* Keys are written in the 32-bit words that the kernel's hash reads them in: a load that spans two stores just made
 * waits until both have left the processor's store buffer. */
INLINE void map_ipv4(u8 *to, u32 address)
{
    u32 *words = (u32 *)to;
    words[0] = 0;
    words[1] = 0;
    words[2] = little32(0xffff0000);
    words[3] = address;
}

INLINE void set_ports(struct flow_key *key, u16 source, u16 destination)
{
    *(u32 *)&key->source_port = pair16(source, destination);
}

INLINE void set_protocol(struct flow_key *key, u8 protocol, u8 family)
{
    *(u32 *)&key->protocol = little32(protocol | (u32)family << 8);
}

INLINE u32 end_of_packet(frame *in, u32 start, u32 length)
{
    /* A length of 0 stands for a super-packet that the field can't express. */
    return length && start + length < frame_length(in) ? start + length : frame_length(in);
}

INLINE enum unparsed parse_ipv4(frame *in, struct cursor *at, struct packet *packet)
{
    struct ipv4 ip;
    if (!load(in, at->offset, &ip, sizeof(ip)))
        return TRUNCATED;
    u32 length = (ip.version_and_length & 15) * 4;
    u32 total = big16(ip.total_length);
    if (ip.version_and_length >> 4 != 4 || length < sizeof(ip) || (total && total < length))
        return BAD_HEADER;
    at->end = end_of_packet(in, at->offset, total);
    at->offset += length;
    if (at->offset > at->end)
        return TRUNCATED;
    map_ipv4(packet->key.source, ip.source);
    map_ipv4(packet->key.destination, ip.destination);
    at->type = ip.protocol;
    u16 fragment = big16(ip.fragment);
    at->later_fragment = fragment & 0x1fff;
    if (fragment & 0x3fff)
        packet->bits |= BIT_FRAGMENT;
    return PARSED;
}

/* Steps over one extension header; PARSED when `at` is none. */
INLINE enum unparsed step_extension(frame *in, struct cursor *at, struct packet *packet)
{
    u8 header[4];
    if (!load(in, at->offset, header, sizeof(header)))
        return TRUNCATED;
    u32 length = (header[1] + 1) * 8;
    if (at->type == PROTOCOL_AUTHENTICATION) {
        length = (header[1] + 2) * 4;
    } else if (at->type == PROTOCOL_FRAGMENT) {
        length = 8;
        u16 fragment = header[2] << 8 | header[3];
        at->later_fragment = fragment & 0xfff8;
        if (fragment & 0xfff9)
            packet->bits |= BIT_FRAGMENT;
    }
    at->offset += length;
    at->type = header[0];
    return at->offset > at->end ? TRUNCATED : PARSED;
}

INLINE bool is_extension(u16 type)
{
    return type == PROTOCOL_HOP_BY_HOP || type == PROTOCOL_ROUTING || type == PROTOCOL_FRAGMENT ||
           type == PROTOCOL_AUTHENTICATION || type == PROTOCOL_DESTINATION || type == PROTOCOL_MOBILITY ||
           type == PROTOCOL_HOST_IDENTITY || type == PROTOCOL_SHIM6;
}

ALONE int skip_extensions(frame *in, struct cursor *at, struct packet *packet)
{
    if (!in || !at || !packet)
        return TRUNCATED;
    for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
        if (at->later_fragment || !is_extension(at->type))
            return PARSED;
        enum unparsed why = step_extension(in, at, packet);
        if (why != PARSED)
            return why;
    }
    return at->later_fragment || !is_extension(at->type) ? PARSED : EXTENSION_HEADERS;
}

INLINE enum unparsed parse_ipv6(frame *in, struct cursor *at, struct packet *packet)
{
    struct ipv6 ip;
    if (!load(in, at->offset, &ip, sizeof(ip)))
        return TRUNCATED;
    if (*(u8 *)&ip >> 4 != 6)
        return BAD_HEADER;
    u32 length = big16(ip.payload_length);
    at->end = end_of_packet(in, at->offset, length ? sizeof(ip) + length : 0);
    at->offset += sizeof(ip);
    at->type = ip.next_header;
    __builtin_memcpy(packet->key.source, ip.source, 16);
    __builtin_memcpy(packet->key.destination, ip.destination, 16);
    return is_extension(at->type) ? skip_extensions(in, at, packet) : PARSED;
}

/* Ports, ICMP type and code, TCP flags; `at` moves behind the transport header. */
INLINE enum unparsed parse_transport(frame *in, struct cursor *at, struct packet *packet, u8 family)
{
    set_protocol(&packet->key, at->type, family);
    u32 size = at->type == PROTOCOL_TCP    ? 20
               : at->type == PROTOCOL_SCTP ? 12
               : at->type == PROTOCOL_UDP || at->type == PROTOCOL_ICMP || at->type == PROTOCOL_ICMPV6 ? 8 : 0;
    if (!size || at->later_fragment)
        return PARSED;
    if (at->offset + size > at->end)
        return packet->bits & BIT_FRAGMENT ? PARSED : TRUNCATED;
    u16 words[4]; /* as much of a header as all of them have */
    if (!load(in, at->offset, words, sizeof(words)))
        return TRUNCATED;
    if (at->type == PROTOCOL_ICMP || at->type == PROTOCOL_ICMPV6) {
        set_ports(&packet->key, ((u8 *)words)[0], ((u8 *)words)[1]);
    } else {
        set_ports(&packet->key, big16(words[0]), big16(words[1]));
    }
    if (at->type == PROTOCOL_TCP) {
        u8 offset_and_flags[2];
        if (!load(in, at->offset + 12, offset_and_flags, sizeof(offset_and_flags)))
            return TRUNCATED;
        size = (offset_and_flags[0] >> 4) * 4;
        if (size < 20)
            return BAD_HEADER;
        packet->tcp_flags = offset_and_flags[1] | (offset_and_flags[0] & 1) << 8;
    }
    at->offset += size;
    return PARSED;
}

ALONE int parse_ip(frame *in, struct cursor *at, struct packet *packet)
{
    enum unparsed why = NOT_IP;
    u8 family = 0;
    /* A function of its own is verified for any caller: every pointer may be null. */
    if (!in || !at || !packet)
        return TRUNCATED;
    at->later_fragment = false;
    if (at->type == ETHERTYPE_IPV4) {
        why = parse_ipv4(in, at, packet);
        family = 4;
    } else if (at->type == ETHERTYPE_IPV6) {
        why = parse_ipv6(in, at, packet);
        family = 6;
    }
    return why == PARSED ? parse_transport(in, at, packet, family) : why;
}

INLINE bool one_of(u32 ports, u16 port)
{
    return port && (port == (u16)ports || port == (u16)(ports >> 16));
}

/* If a VXLAN or Geneve header starts at `at`, steps over it and says which. */
INLINE enum tunnel_kind parse_encapsulation(frame *in, struct cursor *at, u16 port, u32 *vni)
{
    u8 header[8];
    if (!load(in, at->offset, header, sizeof(header)))
        return TUNNEL_NONE;
    *vni = header[4] << 16 | header[5] << 8 | header[6];
    at->offset += sizeof(header);
    at->type = ETHERTYPE_BRIDGED;
    if (one_of(vxlan_ports, port))
        return header[0] & 0x08 ? TUNNEL_VXLAN : TUNNEL_NONE;
    at->offset += (header[0] & 0x3f) * 4;
    at->type = header[2] << 8 | header[3];
    /* Version 0, and not a control message. */
    return header[0] >> 6 == 0 && !(header[1] & 0x80) ? TUNNEL_GENEVE : TUNNEL_NONE;
}

/* The flow inside, if there is a readable one; else the packet stays what it is. */
ALONE int parse_inner(frame *in, struct cursor *at, struct packet *packet)
{
    u32 vni = 0;
    if (!in || !at || !packet)
        return TUNNEL_NONE;
    enum tunnel_kind kind = parse_encapsulation(in, at, packet->key.destination_port, &vni);
    if (kind == TUNNEL_NONE)
        return TUNNEL_NONE;
    struct packet inner = {.vlan = packet->vlan, .bits = packet->bits & ~BIT_FRAGMENT};
    __builtin_memcpy(inner.macs, packet->macs, sizeof(inner.macs));
    if (at->type == ETHERTYPE_BRIDGED && parse_ethernet(in, at, &inner) != PARSED)
        return TUNNEL_NONE;
    if (parse_ip(in, at, &inner) != PARSED)
        return TUNNEL_NONE;
    __builtin_memcpy(inner.tunnel.source, packet->key.source, 32);
    inner.tunnel.source_port = packet->key.source_port;
    inner.tunnel.destination_port = packet->key.destination_port;
    inner.tunnel.vni_and_kind = (u32)kind << 24 | vni;
    inner.bits |= BIT_TUNNEL;
    inner.headers = at->offset;
    *packet = inner;
    return kind;
}

INLINE bool is_tunnel_port(u16 port)
{
    return one_of(vxlan_ports, port) || one_of(geneve_ports, port);
}

/* Reads from the IP header on, what is inside a tunnel included. `at` is where it starts and its ethertype. */
INLINE enum unparsed parse_from_ip(frame *in, struct cursor *at, struct packet *packet)
{
    enum unparsed why = parse_ip(in, at, packet);
    packet->headers = at->offset;
    if (why == PARSED && packet->key.protocol == PROTOCOL_UDP && !(packet->bits & BIT_FRAGMENT) &&
        is_tunnel_port(packet->key.destination_port))
        parse_inner(in, at, packet);
    return why;
}
