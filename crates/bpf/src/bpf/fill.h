/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fills a record from a socket; shared by all iterators. Neither of them need hold its lock: a
 * field may then be one segment younger than its neighbour, which is as old as any answer is. */
#ifndef SOCKPULSE_FILL_H
#define SOCKPULSE_FILL_H

#include "kernel.h"
#include "record.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

/* Jiffies until `expires`; negative when overdue. */
static __always_inline __s32 until(unsigned long expires, __u64 now)
{
	__s64 delta = (__s64)(expires - now);

	if (delta > 0x7fffffff)
		return 0x7fffffff;
	if (delta < -0x7fffffff)
		return -0x7fffffff;
	return delta;
}

static __always_inline void fill_address(__u8 *to, const struct in6_addr *from)
{
	__be32 *words = (__be32 *)to;

	words[0] = from->in6_u.u6_addr32[0];
	words[1] = from->in6_u.u6_addr32[1];
	words[2] = from->in6_u.u6_addr32[2];
	words[3] = from->in6_u.u6_addr32[3];
}

/* What every kind of entry has. Local ends of IPv4 sockets are skc_rcv_saddr, as inet_diag has it. */
static __always_inline void fill_common(struct record *r, const struct sock_common *skc)
{
	r->family = skc->skc_family;
	r->state = skc->skc_state;
	r->netns = skc->skc_net.net->ns.inum;
	r->ifindex = skc->skc_bound_dev_if;
	r->local_port = skc->skc_num;
	r->remote_port = bpf_ntohs(skc->skc_dport);
	if (r->family == AF_INET) {
		*(__be32 *)r->local_addr = skc->skc_rcv_saddr;
		*(__be32 *)r->remote_addr = skc->skc_daddr;
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {
		fill_address(r->local_addr, &skc->skc_v6_rcv_saddr);
		fill_address(r->remote_addr, &skc->skc_v6_daddr);
	}
}

/* What every struct sock has. */
static __always_inline void fill_sock(struct record *r, const struct sock *sk)
{
	unsigned long flags = sk->__sk_common.skc_flags;

	fill_common(r, &sk->__sk_common);
	r->uid = sk->sk_uid.val;
	r->flags |= FLAG_UID;
	if (flags & (1 << SOCK_KEEPOPEN))
		r->flags |= FLAG_KEEPALIVE;
	if (flags & (1 << SOCK_DEAD))
		r->flags |= FLAG_DEAD;
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		r->cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
}

/* The inode number of a socket that was not reached through its file. */
static __always_inline __u64 inode_of(const struct sock *sk)
{
	const struct sock___ino *newer = (const void *)sk;
	struct socket *socket;

	if (bpf_core_field_exists(newer->sk_ino))
		return newer->sk_ino;
	socket = sk->sk_socket;
	if (!socket)
		return 0;
	/* The verifier knows no more of it than the struct socket. */
	return BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_ino);
}

static __always_inline void fill_timers(struct record *r, const struct inet_connection_sock *icsk,
					__u64 now)
{
	const struct inet_connection_sock___keepalive *keepalive = (const void *)icsk;
	const struct inet_connection_sock___timeout *timeout = (const void *)icsk;
	const struct sock___retransmit *retransmit = (const void *)icsk;
	const struct sock *sk = &icsk->icsk_inet.sk;
	unsigned long expires;

	if (bpf_core_field_exists(keepalive->icsk_keepalive_timer)) {
		if (keepalive->icsk_keepalive_timer.entry.pprev)
			r->flags |= FLAG_TIMER;
		expires = keepalive->icsk_keepalive_timer.expires;
	} else {
		if (sk->sk_timer.entry.pprev)
			r->flags |= FLAG_TIMER;
		expires = sk->sk_timer.expires;
	}
	if (r->flags & FLAG_TIMER)
		r->timer = until(expires, now);

	r->pending = icsk->icsk_pending;
	if (!r->pending)
		return;
	if (bpf_core_field_exists(timeout->icsk_timeout))
		expires = timeout->icsk_timeout;
	else if (bpf_core_field_exists(retransmit->tcp_retransmit_timer))
		expires = retransmit->tcp_retransmit_timer.expires;
	else
		expires = icsk->icsk_retransmit_timer.expires;
	r->retransmit_timer = until(expires, now);
}

/* Queues as tcp_diag_get_info() reckons them (net/ipv4/tcp_diag.c). */
static __always_inline void fill_queues(struct record *r, const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	__s32 unread, unacked;

	if (r->state == TCP_LISTEN) {
		r->unread = sk->sk_ack_backlog;
		r->unacked = sk->sk_max_ack_backlog;
		return;
	}
	unread = tp->rcv_nxt - tp->copied_seq;
	r->unread = unread > 0 ? unread : 0;
	/* Read one after the other, without the lock: the later one may have overtaken the earlier. */
	unacked = tp->write_seq - tp->snd_una;
	r->unacked = unacked > 0 ? unacked : 0;
}

/* The kernel's stamps are the low half of jiffies. One that another CPU wrote just now may seem to
 * lie in the future. */
static __always_inline __u32 age(__u32 stamp, __u64 now)
{
	__u32 age = (__u32)now - stamp;

	return age > 0xffffff00 ? 0 : age;
}

/* Everything about a full TCP socket but its cookie, inode and process. */
static __always_inline void fill_tcp(struct record *r, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	const struct tcp_sock___mptcp *mptcp = (const void *)tp;
	__u64 now;

	r->kind = KIND_TCP;
	fill_sock(r, &icsk->icsk_inet.sk);
	if (bpf_core_field_exists(mptcp->is_mptcp) && mptcp->is_mptcp)
		r->flags |= FLAG_SUBFLOW;

	r->flags |= FLAG_SETTINGS;
	r->keepalive_time = tp->keepalive_time;
	r->keepalive_intvl = tp->keepalive_intvl;
	r->keepalive_probes = tp->keepalive_probes;
	r->user_timeout = icsk->icsk_user_timeout;

	r->probes_out = icsk->icsk_probes_out;
	r->retransmits = icsk->icsk_retransmits;
	r->backoff = icsk->icsk_backoff;
	r->rto = icsk->icsk_rto;
	r->packets_out = tp->packets_out;
	r->snd_una = tp->snd_una;
	r->rcv_nxt = tp->rcv_nxt;
	fill_queues(r, tp);

	/* The stamps first, so that the clock is not older than they are. */
	r->sent_age = tp->lsndtime;
	r->received_age = icsk->icsk_ack.lrcvtime;
	r->acked_age = tp->rcv_tstamp;
	now = bpf_jiffies64();
	r->sent_age = age(r->sent_age, now);
	r->received_age = age(r->received_age, now);
	r->acked_age = age(r->acked_age, now);
	fill_timers(r, icsk, now);
}

#endif
