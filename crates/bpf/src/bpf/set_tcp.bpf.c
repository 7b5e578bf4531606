// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks the sockets of one network namespace and sets those that were chosen before. The kernel
 * holds a socket's lock while it is shown, so that its program sees either nothing set or all. */
#include "fill.h"
#include "order.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Each in the place of its cookie, or in one of those behind. User space writes into this memory by
 * itself, before the first walk: a hash table of the kernel's takes as long to be filled as a dump of
 * all sockets. How many places there are is set before loading.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ORDER_GROUP);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

const volatile __u32 places = ORDER_GROUP;

static __always_inline struct order *order_for(__u64 cookie)
{
	__u32 place = order_place(cookie, places);
	struct order *order;
	int tries;

	for (tries = 0; tries < ORDER_TRIES; tries++) {
		order = bpf_map_lookup_elem(&orders, &place);
		if (!order || !order->cookie)
			return NULL;
		if (order->cookie == cookie)
			return order;
		place = place + 1 < places ? place + 1 : 0;
	}
	return NULL;
}

static __always_inline __s32 in_force(__u32 own, __s32 inherited)
{
	return own ? (__s32)own : inherited;
}

static __always_inline bool is_as_planned(const struct held *h, const struct order *o)
{
	return h->on == o->on && h->user_timeout == o->user_timeout &&
	       in_force(h->idle, h->idle_default) == o->idle &&
	       in_force(h->interval, h->interval_default) == o->interval &&
	       in_force(h->probes, h->probes_default) == o->probes;
}

/* What ends by itself is left alone, and what its program has closed. */
static __always_inline bool is_open(const struct sock *sk)
{
	const __u32 open = 1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_SYN_RECV |
			   1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT |
			   1 << TCP_LISTEN;

	return (open >> sk->__sk_common.skc_state & 1) &&
	       !(sk->__sk_common.skc_flags & (1 << SOCK_DEAD));
}

/* Milliseconds since the last segment from the peer. */
static __always_inline __u64 silence(const struct tcp_sock *tp)
{
	__u32 received = tp->inet_conn.icsk_ack.lrcvtime;
	__u32 acked = tp->rcv_tstamp;
	__u64 now = bpf_jiffies64();

	received = age(received, now);
	acked = age(acked, now);
	return (__u64)(received < acked ? received : acked) * 1000 / hz;
}

/* What may have come between the plan and now; the same as in the crate for Linux, set.rs. */
static __always_inline enum verdict look(const struct tcp_sock *tp, const struct held *h,
					 const struct order *o)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	bool timeout = o->step.user_timeout > 0;
	bool unanswered = icsk->icsk_probes_out;

	if (is_subflow(tp))
		return VERDICT_SUBFLOW;
	if (!is_open(&icsk->icsk_inet.sk) || !is_as_planned(h, o))
		return VERDICT_CHANGED;
	/* Switched off first, nothing is probed any more that other values could decide over. */
	if (unanswered && (timeout || o->step.keepalive))
		return VERDICT_PROBING;
	if (!timeout || icsk->icsk_inet.sk.__sk_common.skc_state == TCP_LISTEN)
		return VERDICT_SET;
	if (icsk->icsk_retransmits)
		return VERDICT_PROBING;
	return silence(tp) > o->silence ? VERDICT_SILENT : VERDICT_SET;
}

/* In the order of sockpulse_core::protect::Step::order(). */
static __always_inline long make(struct tcp_sock *tp, const struct step *s)
{
	long error = 0;

	if (!s->keepalive)
		error = set(tp, SOL_SOCKET, SO_KEEPALIVE, 0);
	if (!error && !s->user_timeout)
		error = set(tp, SOL_TCP, TCP_USER_TIMEOUT, 0);
	if (!error)
		error = set(tp, SOL_TCP, TCP_KEEPINTVL, s->interval);
	if (!error)
		error = set(tp, SOL_TCP, TCP_KEEPCNT, s->probes);
	if (!error)
		error = set(tp, SOL_TCP, TCP_KEEPIDLE, s->idle);
	if (!error && s->user_timeout > 0)
		error = set(tp, SOL_TCP, TCP_USER_TIMEOUT, s->user_timeout);
	if (!error && s->keepalive > 0)
		error = set(tp, SOL_SOCKET, SO_KEEPALIVE, 1);
	return error;
}

static __always_inline bool is(__s32 wanted, __u32 has)
{
	return wanted < 0 || (__u32)wanted == has;
}

static __always_inline bool stands(const struct held *h, const struct step *s)
{
	return is(s->keepalive, h->on) && is(s->idle, h->idle) && is(s->interval, h->interval) &&
	       is(s->probes, h->probes) && is(s->user_timeout, h->user_timeout);
}

static __always_inline void carry_out(struct tcp_sock *tp, const struct order *o, struct answer *a)
{
	struct held h;
	long error;

	hold(&h, tp);
	a->verdict = look(tp, &h, o);
	if (a->verdict != VERDICT_SET)
		return;
	error = make(tp, &o->step);
	hold(&h, tp);
	if (!error && stands(&h, &o->step))
		return;
	a->verdict = is_as_planned(&h, o) ? VERDICT_FAILED : VERDICT_HALF_MADE;
	a->errno = -error;
}

SEC("iter/tcp")
int set_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct answer answer = {};
	struct order *order;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	order = order_for(bpf_get_socket_cookie(skc));
	if (!order || order->number == ANSWERED)
		return 0;
	answer.number = order->number;
	order->number = ANSWERED;
	carry_out(tp, order, &answer);
	/* It fits always: less is asked for at once than the kernel has room for. */
	bpf_seq_write(ctx->meta->seq, &answer, sizeof(answer));
	return 0;
}
