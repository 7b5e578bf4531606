/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs that set a socket know of it. */
#ifndef SOCKPULSE_SOCKET_H
#define SOCKPULSE_SOCKET_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Ticks a second. Set before loading. */
const volatile __u32 hz = 0;

/* What a socket holds, in seconds and milliseconds; 0: inherited. */
struct held {
	__u32 on;	/* SO_KEEPALIVE */
	__u32 idle;
	__u32 interval;
	__u32 probes;
	__u32 user_timeout;
	/* What it would inherit. */
	__s32 idle_default;
	__s32 interval_default;
	__s32 probes_default;
};

static __always_inline bool is_subflow(const struct tcp_sock *tp)
{
	const struct tcp_sock___mptcp *mptcp = (const void *)tp;

	return bpf_core_field_exists(mptcp->is_mptcp) && mptcp->is_mptcp;
}

/* The machine has no signed division. Below zero is not a time. */
static __always_inline __s32 seconds(__s32 jiffies)
{
	return jiffies < 0 ? -1 : (__u32)jiffies / hz;
}

static __always_inline void hold(struct held *h, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	const struct sock *sk = &icsk->icsk_inet.sk;
	const struct netns_ipv4 *ipv4 = &sk->__sk_common.skc_net.net->ipv4;

	h->on = !!(sk->__sk_common.skc_flags & (1 << SOCK_KEEPOPEN));
	/* Divisions are slow, and most sockets hold nothing. */
	h->idle = tp->keepalive_time ? tp->keepalive_time / hz : 0;
	h->interval = tp->keepalive_intvl ? tp->keepalive_intvl / hz : 0;
	h->probes = tp->keepalive_probes;
	h->user_timeout = icsk->icsk_user_timeout;
	h->idle_default = seconds(ipv4->sysctl_tcp_keepalive_time);
	h->interval_default = seconds(ipv4->sysctl_tcp_keepalive_intvl);
	h->probes_default = ipv4->sysctl_tcp_keepalive_probes;
}

#endif
