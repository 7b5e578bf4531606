/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is asked of one connection, and what is seen of it. The twin is glance/layout.rs; both sides
 * assert size and offsets at compile time. Numbers are in the byte order of the machine.
 */
#ifndef SOCKPULSE_GLANCE_H
#define SOCKPULSE_GLANCE_H

#include "kernel.h"

/* Looks of one run, during which the processor does no other work for the network. */
#define GLANCES 256

enum question_flag {
	QUESTION_IPV6 = 1 << 0,		/* the tuple is one of IPv6, and not of mapped IPv4 */
};

/* As bpf_skc_lookup_tcp() wants it, for a segment that comes in: the peer's end first. */
union ends {
	struct {
		__be32 remote_addr;
		__be32 local_addr;
		__be16 remote_port;
		__be16 local_port;
	} ipv4;
	struct {
		__be32 remote_addr[4];
		__be32 local_addr[4];
		__be16 remote_port;
		__be16 local_port;
	} ipv6;
};

enum glance_flag {
	GLANCE_SEEN = 1 << 0,		/* there is such a socket; else nothing below is filled in */
	GLANCE_TIMESTAMPS = 1 << 1,	/* timestamps are in use */
	GLANCE_SIGNED = 1 << 2,		/* there are keys of TCP-MD5 or TCP-AO */
	GLANCE_MPTCP = 1 << 3,		/* a subflow of Multipath TCP */
	GLANCE_DEAD = 1 << 4,		/* SOCK_DEAD: only the kernel still holds it */
	GLANCE_KEEPALIVE = 1 << 5,	/* SO_KEEPALIVE */
};

struct glance {
	/* The question. */
	__u64 cookie;
	union ends ends;
	__u32 asked;			/* enum question_flag */
	/* The answer. */
	__u32 flags;			/* enum glance_flag */
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 received_age;		/* jiffies since data was received */
	__u32 acked_age;		/* jiffies since an ACK was received */
	__u32 unacked;			/* bytes */
	__u32 unread;			/* bytes */
	__u32 total_retrans;
	__u32 rto;			/* jiffies */
	__u32 srtt;			/* eighths of a microsecond; 0: never measured */
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 rcv_nxt;
	__u32 window;			/* bytes that the peer was told it may send from rcv_nxt on */
	__u32 timestamp;		/* TSval of a segment that leaves now */
	__u32 echo;			/* TSecr of it */
	__s32 soft_error;		/* errno; 0: none */
	__u8 state;			/* TCP_ESTABLISHED… */
	__u8 probes_out;		/* unanswered */
	__u8 retransmits;
	__u8 window_scale;		/* shift of the window field that is sent */
	__u32 mark;			/* SO_MARK */
	__u32 rttvar;			/* microseconds */
	__s16 hop_limit;		/* -1: the default */
	__u8 traffic_class;
	__u8 reserved[5];
};

#define GLANCE_OFFSET(field, at) \
	_Static_assert(__builtin_offsetof(struct glance, field) == (at), "offset of " #field)

GLANCE_OFFSET(ends, 8);
GLANCE_OFFSET(asked, 44);
GLANCE_OFFSET(flags, 48);
GLANCE_OFFSET(rto, 80);
GLANCE_OFFSET(soft_error, 112);
GLANCE_OFFSET(state, 116);
GLANCE_OFFSET(mark, 120);
GLANCE_OFFSET(hop_limit, 128);
_Static_assert(sizeof(struct glance) == 136, "size of struct glance");

#endif
