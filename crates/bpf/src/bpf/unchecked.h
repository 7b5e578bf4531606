/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading sockets where the verifier lets a program follow no pointer from what it was given. */
#ifndef SOCKPULSE_UNCHECKED_H
#define SOCKPULSE_UNCHECKED_H

#include "socket.h"
#include "subject.h"

/* A copy through memory is a number, from which is read with care. */
static __always_inline __u64 unchecked(const void *pointer)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return address;
}

static __always_inline void ends_unchecked(struct subject *s, const struct sock_common *skc)
{
	__u16 remote = bpf_ntohs(BPF_CORE_READ(skc, skc_dport));
	__u16 local = BPF_CORE_READ(skc, skc_num);
	struct in6_addr addr = {};

	if (BPF_CORE_READ(skc, skc_family) == AF_INET) {
		end_v4(&s->local, BPF_CORE_READ(skc, skc_rcv_saddr), local);
		end_v4(&s->remote, BPF_CORE_READ(skc, skc_daddr), remote);
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&addr, skc, skc_v6_rcv_saddr);
		end_of(&s->local, &addr, local);
		BPF_CORE_READ_INTO(&addr, skc, skc_v6_daddr);
		end_of(&s->remote, &addr, remote);
	}
	if (local)
		s->flags |= SUBJECT_LOCAL;
	if (remote)
		s->flags |= SUBJECT_REMOTE;
	if (remote ? stays(s) : is_loopback(&s->local))
		s->flags |= SUBJECT_STAYS;
}

static __always_inline void hold_unchecked(struct held *h, const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	h->on = !!(BPF_CORE_READ(sk, __sk_common.skc_flags) & (1 << SOCK_KEEPOPEN));
	h->idle = BPF_CORE_READ(tp, keepalive_time) / hz;
	h->interval = BPF_CORE_READ(tp, keepalive_intvl) / hz;
	h->probes = BPF_CORE_READ(tp, keepalive_probes);
	h->user_timeout = BPF_CORE_READ(tp, inet_conn.icsk_user_timeout);
	h->idle_default = seconds(BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_time));
	h->interval_default = seconds(BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_intvl));
	h->probes_default = BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_probes);
}

#endif
