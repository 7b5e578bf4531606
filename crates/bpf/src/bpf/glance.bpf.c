// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looks at connections whose ends are known, without a walk: a hash lookup each. It is never attached,
 * only run by itself (BPF_PROG_TEST_RUN), in the network namespace of whoever runs it. */
#include "uapi.h"
#include "fill.h"
#include "glance.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NSEC_PER_USEC 1000
#define NSEC_PER_MSEC 1000000

/* Connections asked about. User space has it in its memory too. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GLANCES);
	__type(key, __u32);
	__type(value, struct glance);
} glances SEC(".maps");

static __always_inline bool is_signed(const struct tcp_sock *tp)
{
	const struct tcp_sock___md5 *md5 = (const void *)tp;
	const struct tcp_sock___ao *ao = (const void *)tp;

	if (bpf_core_field_exists(md5->md5sig_info) && md5->md5sig_info)
		return true;
	return bpf_core_field_exists(ao->ao_info) && ao->ao_info;
}

/* tcp_clock_ts() and the connection's offset. */
static __always_inline __u32 timestamp(const struct tcp_sock *tp)
{
	const struct tcp_sock___usec *usec = (const void *)tp;
	__u64 now = bpf_ktime_get_ns();

	if (bpf_core_field_exists(usec->tcp_usec_ts) && BPF_CORE_READ_BITFIELD(usec, tcp_usec_ts))
		now /= NSEC_PER_USEC;
	else
		now /= NSEC_PER_MSEC;
	return (__u32)now + tp->tsoffset;
}

/* tcp_receive_window() */
static __always_inline __u32 window(const struct tcp_sock *tp)
{
	__s32 window = tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt;

	return window < 0 ? 0 : window;
}

static __always_inline __u32 ahead(__u32 later, __u32 earlier)
{
	__s32 bytes = later - earlier;

	/* Read without the lock: the earlier may have overtaken the later. */
	return bytes < 0 ? 0 : bytes;
}

/* What a segment's IP header has of the socket. */
static __always_inline void see_header(struct glance *g, const struct inet_sock *inet)
{
	const struct ipv6_pinfo *ipv6;

	g->mark = inet->sk.sk_mark;
	if (!(g->asked & QUESTION_IPV6)) {
		g->hop_limit = inet->uc_ttl;
		g->traffic_class = inet->tos;
		return;
	}
	g->hop_limit = -1;
	g->traffic_class = 0;
	if (!bpf_core_field_exists(inet->pinet6))
		return;
	ipv6 = inet->pinet6;
	if (!ipv6)
		return;
	/* Older kernels have nine bits for it. */
	g->hop_limit = BPF_CORE_READ_BITFIELD(ipv6, hop_limit);
	g->traffic_class = ipv6->tclass;
}

static __always_inline void see(struct glance *g, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	const struct tcp_sock___mptcp *mptcp = (const void *)tp;
	const struct sock *sk = &icsk->icsk_inet.sk;
	unsigned long bits = sk->__sk_common.skc_flags;
	__u32 flags = GLANCE_SEEN;
	__u64 now;

	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
		flags |= GLANCE_TIMESTAMPS;
	if (is_signed(tp))
		flags |= GLANCE_SIGNED;
	if (bpf_core_field_exists(mptcp->is_mptcp) && mptcp->is_mptcp)
		flags |= GLANCE_MPTCP;
	if (bits & (1 << SOCK_DEAD))
		flags |= GLANCE_DEAD;
	if (bits & (1 << SOCK_KEEPOPEN))
		flags |= GLANCE_KEEPALIVE;

	see_header(g, &icsk->icsk_inet);
	g->state = sk->__sk_common.skc_state;
	g->soft_error = sk->sk_err_soft;
	g->probes_out = icsk->icsk_probes_out;
	g->retransmits = icsk->icsk_retransmits;
	g->rto = icsk->icsk_rto;
	g->total_retrans = tp->total_retrans;
	g->srtt = tp->srtt_us;
	g->rttvar = tp->rttvar_us;
	g->snd_una = tp->snd_una;
	g->snd_nxt = tp->snd_nxt;
	g->rcv_nxt = tp->rcv_nxt;
	g->unacked = ahead(tp->write_seq, tp->snd_una);
	g->unread = ahead(tp->rcv_nxt, tp->copied_seq);
	g->window = window(tp);
	g->window_scale = BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
	g->timestamp = timestamp(tp);
	g->echo = tp->rx_opt.ts_recent;

	/* The stamps first, so that the clock is not older than they are. */
	g->received_age = icsk->icsk_ack.lrcvtime;
	g->acked_age = tp->rcv_tstamp;
	now = bpf_jiffies64();
	g->received_age = age(g->received_age, now);
	g->acked_age = age(g->acked_age, now);
	g->segs_in = tp->segs_in;
	g->data_segs_in = tp->data_segs_in;
	g->flags = flags;
}

/* Global, so that the verifier reads it once, and not for every turn of the loop. */
__noinline int look(struct __sk_buff *skb, __u32 nth)
{
	struct bpf_sock *skc;
	struct tcp_sock *tp;
	struct glance *g;

	g = bpf_map_lookup_elem(&glances, &nth);
	if (!g)
		return 0;
	g->flags = 0;
	/* Sockets that nobody ever asked who they are have none either. */
	if (!g->cookie)
		return 0;
	if (g->asked & QUESTION_IPV6)
		skc = bpf_skc_lookup_tcp(skb, (void *)&g->ends, sizeof(g->ends.ipv6),
					 BPF_F_CURRENT_NETNS, 0);
	else
		skc = bpf_skc_lookup_tcp(skb, (void *)&g->ends, sizeof(g->ends.ipv4),
					 BPF_F_CURRENT_NETNS, 0);
	if (!skc)
		return 0;
	/* Neither an entry of TIME-WAIT nor a request; a listener has another cookie. */
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp && tp->inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter == g->cookie)
		see(g, tp);
	bpf_sk_release(skc);
	return 0;
}

/* Looks at as many as the packet's mark says. */
SEC("tc")
int glance(struct __sk_buff *skb)
{
	__u32 nth;

	for (nth = 0; nth < GLANCES && nth < skb->mark; nth++)
		look(skb, nth);
	return 0;
}
