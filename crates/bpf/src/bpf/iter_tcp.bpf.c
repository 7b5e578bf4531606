// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes a record for every TCP socket and every TCP entry of one network namespace. */
#include "fill.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void fill_time_wait(struct record *r, const struct inet_timewait_sock *tw)
{
	r->kind = KIND_TIME_WAIT;
	fill_common(r, &tw->__tw_common);
	/* The entry's own state is always TIME-WAIT. */
	r->state = tw->tw_substate;
	r->flags |= FLAG_TIMER;
	r->timer = until(tw->tw_timer.expires, bpf_jiffies64());
}

static __always_inline void fill_request(struct record *r, const struct request_sock *req)
{
	r->kind = KIND_REQUEST;
	fill_common(r, &req->__req_common);
	r->retransmits = req->num_retrans;
	r->flags |= FLAG_TIMER;
	r->timer = until(req->rsk_timer.expires, bpf_jiffies64());
}

SEC("iter/tcp")
int iter_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_request_sock *req;
	struct tcp_timewait_sock *tw;
	struct record r = {};
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp) {
		fill_tcp(&r, tp);
		r.inode = inode_of(&tp->inet_conn.icsk_inet.sk);
	} else if ((tw = bpf_skc_to_tcp_timewait_sock(skc))) {
		fill_time_wait(&r, &tw->tw_sk);
	} else if ((req = bpf_skc_to_tcp_request_sock(skc))) {
		fill_request(&r, &req->req.req);
	} else {
		return 0;
	}
	r.cookie = bpf_get_socket_cookie(skc);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
