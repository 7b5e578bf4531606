/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Telling what happened, if it was asked for. */
#ifndef SOCKPULSE_TELL_H
#define SOCKPULSE_TELL_H

#include "fill.h"
#include "lives.h"
#include "unchecked.h"

/* Which kinds are asked for: bits 1 << enum what. Set before loading. */
const volatile __u32 kinds = 0;

/* Whether of some connections only. Set before loading. */
const volatile __u32 only_some = 0;

/* Which: those that fall under a rule. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
} among SEC(".maps");

/* How many bytes is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* How many there was no room for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline bool is_asked_for(enum what what)
{
	return kinds & (1 << what);
}

/* If `only_some`. Whoever is current may have nothing to do with it. What cannot be told for certain is
 * let through, to be looked at again by the reader. */
static __always_inline bool is_meant(struct subject *s)
{
	const struct table *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&among, &zero);
	if (!t)
		return true;
	s->flags |= SUBJECT_INTERRUPT | SUBJECT_UNSURE;
	return first_match(t, s) >= 0;
}

/* Room for one more, all zeros. */
static __always_inline struct happening *begin(enum what what)
{
	struct happening *h = bpf_ringbuf_reserve(&ring, sizeof(*h), 0);
	__u32 zero = 0;
	__u64 *count;

	if (!h) {
		count = bpf_map_lookup_elem(&lost, &zero);
		if (count)
			__sync_fetch_and_add(count, 1);
		return NULL;
	}
	__builtin_memset(h, 0, sizeof(*h));
	h->what = what;
	h->at = bpf_ktime_get_boot_ns();
	return h;
}

static __always_inline void tell_owner(struct happening *h, enum known known, __u32 pid,
				       const __u64 comm[2])
{
	h->known = known;
	h->owner_pid = pid;
	h->owner_comm[0] = comm[0];
	h->owner_comm[1] = comm[1];
}

static __always_inline void tell_listener(struct happening *h)
{
	const __u32 *addr = (const __u32 *)h->record.local_addr;
	const struct program *listener;
	struct end local = {};

	if (h->record.family == AF_INET)
		end_v4(&local, addr[0], h->record.local_port);
	else
		end_v6(&local, addr[0], addr[1], addr[2], addr[3], h->record.local_port);
	listener = listener_of(&local, h->record.netns);
	if (listener)
		tell_owner(h, KNOWN_LISTENED, listener->pid, listener->comm);
}

/* Once the socket has been told. */
static __always_inline void tell_life(struct happening *h, const struct life *life)
{
	__u64 comm[2];

	if (!life)
		return;
	/* 0 means that it is not known. */
	h->age = (__u64)((__u32)bpf_jiffies64() - life->opened) + 1;
	if (!life->pid) {
		tell_listener(h);
		return;
	}
	tidy(comm, life->comm);
	tell_owner(h, KNOWN_CONNECTED, life->pid, comm);
}

static __always_inline void tell_actor(struct happening *h)
{
	h->actor_pid = caller(h->actor_comm);
}

/* The connection of a socket that the verifier knows. At the end of a connection its port is taken from
 * it, and is left as inet_sport alone. */
static __always_inline void subject_of(struct subject *s, const struct tcp_sock *tp)
{
	const struct inet_sock *inet = &tp->inet_conn.icsk_inet;
	const struct sock_common *skc = &inet->sk.__sk_common;

	local_end_at(s, skc, bpf_ntohs(inet->inet_sport));
	remote_end(s, skc);
	s->netns = skc->skc_net.net->ns.inum;
	s->flags |= SUBJECT_INTERRUPT;
	place_of(s, &inet->sk);
}

static __always_inline void tell_socket(struct happening *h, struct sock *sk,
					const struct tcp_sock *tp)
{
	const struct netns_ipv4 *ipv4 = &sk->__sk_common.skc_net.net->ipv4;

	fill_tcp(&h->record, tp);
	h->record.cookie = bpf_get_socket_cookie(sk);
	h->record.inode = inode_of(sk);
	h->record.local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
	h->idle_default = ipv4->sysctl_tcp_keepalive_time;
	h->interval_default = ipv4->sysctl_tcp_keepalive_intvl;
	h->probes_default = ipv4->sysctl_tcp_keepalive_probes;
}

/* The same of a socket that is only an address. */
__noinline int subject_unchecked(struct subject *s, __u64 socket)
{
	const struct sock *sk = (const void *)socket;
	const struct kernfs_node *kn;

	if (!s)
		return 0;
	ends_unchecked(s, &sk->__sk_common);
	s->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return 0;
	kn = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn);
	s->node = (__u64)kn;
	s->cgroup = BPF_CORE_READ(kn, id);
	return 0;
}

static __always_inline bool is_meant_unchecked(__u64 socket)
{
	struct subject s = {};

	subject_unchecked(&s, socket);
	return is_meant(&s);
}

static __always_inline __u64 inode_unchecked(const struct sock *sk)
{
	const struct sock___ino *newer = (const void *)sk;
	const struct socket_alloc *socket;

	if (bpf_core_field_exists(newer->sk_ino))
		return BPF_CORE_READ(newer, sk_ino);
	socket = (const void *)BPF_CORE_READ(sk, sk_socket);
	return socket ? BPF_CORE_READ(socket, vfs_inode.i_ino) : 0;
}

static __always_inline void fill_ends_unchecked(struct record *r, const struct sock_common *skc)
{
	r->family = BPF_CORE_READ(skc, skc_family);
	r->local_port = BPF_CORE_READ(skc, skc_num);
	r->remote_port = bpf_ntohs(BPF_CORE_READ(skc, skc_dport));
	if (r->family == AF_INET) {
		bpf_core_read(r->local_addr, 4, &skc->skc_rcv_saddr);
		bpf_core_read(r->remote_addr, 4, &skc->skc_daddr);
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {
		bpf_core_read(r->local_addr, 16, &skc->skc_v6_rcv_saddr);
		bpf_core_read(r->remote_addr, 16, &skc->skc_v6_daddr);
	}
}

static __always_inline void fill_traffic_unchecked(struct record *r, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	__s32 unread, unacked;
	__u64 now;

	r->probes_out = BPF_CORE_READ(icsk, icsk_probes_out);
	r->retransmits = BPF_CORE_READ(icsk, icsk_retransmits);
	r->backoff = BPF_CORE_READ(icsk, icsk_backoff);
	r->rto = BPF_CORE_READ(icsk, icsk_rto);
	r->packets_out = BPF_CORE_READ(tp, packets_out);
	r->snd_una = BPF_CORE_READ(tp, snd_una);
	r->rcv_nxt = BPF_CORE_READ(tp, rcv_nxt);
	unread = r->rcv_nxt - BPF_CORE_READ(tp, copied_seq);
	r->unread = unread > 0 ? unread : 0;
	unacked = BPF_CORE_READ(tp, write_seq) - r->snd_una;
	r->unacked = unacked > 0 ? unacked : 0;
	r->sent_age = BPF_CORE_READ(tp, lsndtime);
	r->received_age = BPF_CORE_READ(icsk, icsk_ack.lrcvtime);
	r->acked_age = BPF_CORE_READ(tp, rcv_tstamp);
	now = bpf_jiffies64();
	r->sent_age = age(r->sent_age, now);
	r->received_age = age(r->received_age, now);
	r->acked_age = age(r->acked_age, now);
}

/* Its cookie is 0 if nobody has asked for it yet. */
static __always_inline void tell_unchecked(struct happening *h, __u64 socket)
{
	const struct tcp_sock *tp = (const void *)socket;
	const struct tcp_sock___mptcp *mptcp = (const void *)tp;
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	unsigned long flags = BPF_CORE_READ(sk, __sk_common.skc_flags);
	struct record *r = &h->record;

	r->kind = KIND_TCP;
	r->flags = FLAG_SETTINGS | FLAG_UID;
	if (flags & (1 << SOCK_KEEPOPEN))
		r->flags |= FLAG_KEEPALIVE;
	if (flags & (1 << SOCK_DEAD))
		r->flags |= FLAG_DEAD;
	if (bpf_core_field_exists(mptcp->is_mptcp) && BPF_CORE_READ(mptcp, is_mptcp))
		r->flags |= FLAG_SUBFLOW;
	r->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	r->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	r->inode = inode_unchecked(sk);
	r->uid = BPF_CORE_READ(sk, sk_uid.val);
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		r->cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	r->netns = BPF_CORE_READ(net, ns.inum);
	r->ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	r->keepalive_time = BPF_CORE_READ(tp, keepalive_time);
	r->keepalive_intvl = BPF_CORE_READ(tp, keepalive_intvl);
	r->keepalive_probes = BPF_CORE_READ(tp, keepalive_probes);
	r->user_timeout = BPF_CORE_READ(tp, inet_conn.icsk_user_timeout);
	h->idle_default = BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_time);
	h->interval_default = BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_intvl);
	h->probes_default = BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_probes);
	fill_ends_unchecked(r, &sk->__sk_common);
	fill_traffic_unchecked(r, tp);
}

#endif
