/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One socket as the iterators write it. The twin is `Record` in record.rs; both sides assert size
 * and offsets at compile time.
 *
 * Times are jiffies, as the kernel keeps them: user space knows the tick rate, these programs need
 * not. Numbers are in the byte order of the machine, addresses in that of the network.
 */
#ifndef SOCKPULSE_RECORD_H
#define SOCKPULSE_RECORD_H

#include "kernel.h"

enum record_kind {
	KIND_TCP = 1,		/* a full TCP socket */
	KIND_MPTCP = 2,		/* the socket that a program of Multipath TCP holds */
	KIND_TIME_WAIT = 3,	/* an entry of TIME-WAIT, or of FIN-WAIT-2 after the close */
	KIND_REQUEST = 4,	/* a connection request without a socket */
};

enum record_flag {
	FLAG_KEEPALIVE = 1 << 0,	/* SO_KEEPALIVE */
	FLAG_DEAD = 1 << 1,		/* SOCK_DEAD: only the kernel still holds it */
	FLAG_SUBFLOW = 1 << 2,		/* belongs to a Multipath TCP connection */
	FLAG_TIMER = 1 << 3,		/* the keepalive (or entry's own) timer is pending */
	FLAG_SETTINGS = 1 << 4,		/* keepalive_* and user_timeout were read */
	FLAG_UID = 1 << 5,		/* uid was read */
	FLAG_PROCESS = 1 << 6,		/* pid, fd, comm are those of a process */
	FLAG_FILE_REFS = 1 << 7,	/* file_refs tells all there is */
};

struct record {
	__u64 cookie;			/* SO_COOKIE */
	__u64 inode;			/* in sockfs; 0: no struct socket */
	__u64 cgroup_id;		/* of cgroup v2 at creation; 0: unknown */
	__u8 local_addr[16];		/* IPv4: the first four bytes */
	__u8 remote_addr[16];
	__u32 netns;			/* inode number in nsfs */
	__u32 ifindex;			/* bound device; 0: none */
	__u32 uid;			/* in the initial user namespace */
	__u32 pid;			/* process (tgid) in the reader's pid namespace */
	__u32 fd;
	__u32 file_refs;		/* references to the file, the iterator's own not counted */
	__u32 keepalive_time;		/* jiffies; 0: inherited */
	__u32 keepalive_intvl;		/* jiffies; 0: inherited */
	__u32 user_timeout;		/* milliseconds */
	__s32 timer;			/* jiffies until the keepalive or entry's own timer is due */
	__s32 retransmit_timer;		/* jiffies until that of `pending` is due */
	__u32 sent_age;			/* jiffies since data was sent */
	__u32 received_age;		/* jiffies since data was received */
	__u32 acked_age;		/* jiffies since an ACK was received */
	__u32 unread;			/* bytes; LISTEN: connections to be accepted */
	__u32 unacked;			/* bytes; LISTEN: length of the accept queue */
	__u32 packets_out;
	__u32 snd_una;
	__u32 rcv_nxt;
	__u32 rto;			/* jiffies */
	__u16 local_port;		/* host order */
	__u16 remote_port;		/* host order */
	__u8 family;			/* AF_INET, AF_INET6 */
	__u8 state;			/* TCP_ESTABLISHED… */
	__u8 kind;			/* enum record_kind */
	__u8 flags;			/* enum record_flag */
	__u8 keepalive_probes;		/* 0: inherited */
	__u8 probes_out;		/* unanswered */
	__u8 retransmits;
	__u8 backoff;
	__u8 pending;			/* ICSK_TIME_…; 0: none */
	__u8 reserved[3];
	char comm[16];
};

#define OFFSET(field, at) \
	_Static_assert(__builtin_offsetof(struct record, field) == (at), "offset of " #field)

OFFSET(inode, 8);
OFFSET(local_addr, 24);
OFFSET(netns, 56);
OFFSET(file_refs, 76);
OFFSET(timer, 92);
OFFSET(rto, 132);
OFFSET(local_port, 136);
OFFSET(family, 140);
OFFSET(pending, 148);
OFFSET(comm, 152);
_Static_assert(sizeof(struct record) == 168, "size of struct record");

#endif
