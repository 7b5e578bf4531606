// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Gives new connections the settings of their rule. */
#include "hold.h"
#include "rules.h"
#include "subject.h"
#include "unchecked.h"

#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Finds the rule and makes the socket what it says. */
static __always_inline void decide(void *ctx, const struct table *t, struct subject *s,
				   const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	const struct rule *r;
	struct held h;
	int number;

	s->netns = sk->__sk_common.skc_net.net->ns.inum;
	if (t->flags & TABLE_PLACES)
		place_of(s, sk);
	number = first_match(t, s);
	if (number < 0 || number >= RULES_MAX)
		return;
	r = &t->rule[number];
	if ((s->flags & SUBJECT_STAYS) && !(r->flags & RULE_LOCAL)) {
		count(r, OUTCOME_LOCAL);
		return;
	}
	hold(&h, tp);
	count(r, settle(ctx, r, &h));
}

static __always_inline struct tcp_sock *tcp_of(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP || !ctx->sk)
		return NULL;
	tp = bpf_skc_to_tcp_sock(ctx->sk);
	return tp && !is_subflow(tp) ? tp : NULL;
}

/* Before a connection is tried. The source is known only where the program bound one. */
static __always_inline int connecting(struct bpf_sock_addr *ctx, const struct table *t,
				      struct subject *s)
{
	struct tcp_sock *tp = tcp_of(ctx);

	if (!tp || (t->flags & TABLE_EACH))
		return 1;
	owner_is_caller(t, s);
	local_end(s, &tp->inet_conn.icsk_inet.sk.__sk_common);
	s->flags |= SUBJECT_REMOTE;
	if (stays(s))
		s->flags |= SUBJECT_STAYS;
	decide(ctx, t, s, tp);
	return 1;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	struct table *t = table_in_force();
	struct subject s = {};

	if (!t)
		return 1;
	end_v4(&s.remote, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	return connecting(ctx, t, &s);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	struct table *t = table_in_force();
	struct subject s = {};

	if (!t)
		return 1;
	end_v6(&s.remote, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3],
	       bpf_ntohs(ctx->user_port));
	return connecting(ctx, t, &s);
}

/* Before a socket is bound, which may be to listen: what is accepted then inherits. */
static __always_inline int binding(struct bpf_sock_addr *ctx, const struct table *t,
				   struct subject *s)
{
	struct tcp_sock *tp = tcp_of(ctx);

	if (!tp || (t->flags & TABLE_EACH))
		return 1;
	owner_is_caller(t, s);
	s->flags |= SUBJECT_LOCAL;
	if (is_loopback(&s->local))
		s->flags |= SUBJECT_STAYS;
	decide(ctx, t, s, tp);
	return 1;
}

SEC("cgroup/bind4")
int on_bind4(struct bpf_sock_addr *ctx)
{
	struct table *t = table_in_force();
	struct subject s = {};

	if (!t)
		return 1;
	end_v4(&s.local, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	return binding(ctx, t, &s);
}

SEC("cgroup/bind6")
int on_bind6(struct bpf_sock_addr *ctx)
{
	struct table *t = table_in_force();
	struct subject s = {};

	if (!t)
		return 1;
	end_v6(&s.local, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3],
	       bpf_ntohs(ctx->user_port));
	return binding(ctx, t, &s);
}

static __always_inline void listening(struct bpf_sock *sk)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	struct owner *owner;

	owner = bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!owner)
		return;
	owner->pid = process_of(task);
	name_of(task, owner->comm);
}

static __always_inline void accepted(const struct table *t, struct subject *s, struct bpf_sock *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, NULL, 0);

	s->flags |= SUBJECT_INTERRUPT;
	if (!owner)
		return;
	s->flags |= SUBJECT_PROGRAM;
	s->pid = owner->pid;
	s->comm[0] = owner->comm[0];
	s->comm[1] = owner->comm[1];
}

/* Each connection, with both ends known. The reply belongs to other programs, for whom some of the
 * calls are questions: it is left as it is. */
SEC("sockops")
int on_sockops(struct bpf_sock_ops *ctx)
{
	const struct sock_common *skc;
	struct subject s = {};
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	struct table *t;
	__u32 op = ctx->op;

	if (op != BPF_SOCK_OPS_TCP_CONNECT_CB && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    op != BPF_SOCK_OPS_TCP_LISTEN_CB)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	/* Before it is our turn too: listeners that are made now are to be known then. */
	if (op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		listening(sk);
		return 1;
	}
	t = table_in_force();
	if (!t || !(t->flags & TABLE_EACH))
		return 1;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || is_subflow(tp))
		return 1;
	skc = &tp->inet_conn.icsk_inet.sk.__sk_common;
	local_end(&s, skc);
	remote_end(&s, skc);
	if (stays(&s))
		s.flags |= SUBJECT_STAYS;
	if (op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		owner_is_current(t, &s);
	else
		accepted(t, &s, sk);
	decide(ctx, t, &s, tp);
	return 1;
}

/* The number of the socket's rule; -1: it has none, or stays out of its reach. */
__noinline int rule_unchecked(const struct table *t, __u64 socket)
{
	const struct tcp_sock *tp = (const void *)socket;
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	const struct tcp_sock___mptcp *mptcp = (const void *)tp;
	const struct kernfs_node *kn;
	struct subject s = {};
	int number;

	if (!t)
		return -1;
	if (bpf_core_field_exists(mptcp->is_mptcp) && BPF_CORE_READ(mptcp, is_mptcp))
		return -1;
	owner_is_current(t, &s);
	ends_unchecked(&s, &sk->__sk_common);
	s.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if ((t->flags & TABLE_PLACES) && bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
		kn = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn);
		s.node = (__u64)kn;
		s.cgroup = BPF_CORE_READ(kn, id);
		if (s.cgroup == ROOT_ID)
			place_of_caller(&s);
	}
	number = first_match(t, &s);
	if (number < 0 || number >= RULES_MAX)
		return -1;
	if ((s.flags & SUBJECT_STAYS) && !(t->rule[number].flags & RULE_LOCAL))
		return -1;
	return number;
}

/* What becomes of a call. */
struct call {
	__s32 level;
	__s32 option;
	__s32 value;	/* what the socket is to get */
	__s32 follows;	/* the user timeout that goes with it; -1: the one that is there */
};

__noinline int hold_call(const struct rule *r, __u64 socket, struct call *c)
{
	struct held h;

	if (!r || !c)
		return -1;
	hold_unchecked(&h, (const struct tcp_sock *)socket);
	c->value = held_value(r, &h, c->level, c->option, c->value);
	c->follows = -1;
	if (c->level == SOL_TCP && c->option != TCP_USER_TIMEOUT)
		c->follows = following(r, &h, c->option, c->value);
	return 0;
}

/* What a program asks for of a connection that has a rule. It is never told of a change: a program
 * that gives up over an option would be worse off than before. */
SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	struct call call = { .level = ctx->level, .option = ctx->optname };
	struct bpf_sock *sk = ctx->sk;
	__s32 *value = ctx->optval;
	const struct rule *r;
	struct table *t;
	__u64 socket;
	int number;

	if (!is_held(call.level, call.option) || !sk || sk->type != SOCK_STREAM ||
	    sk->protocol != IPPROTO_TCP)
		goto untouched;
	/* There is room for more than the program passed. */
	if (ctx->optlen < (__s32)sizeof(*value) || (void *)(value + 1) > ctx->optval_end)
		goto untouched;
	t = table_in_force();
	if (!t || !(t->flags & TABLE_HOLD) || !is_valid(call.level, call.option, *value))
		goto untouched;
	socket = unchecked(sk);
	number = rule_unchecked(t, socket);
	if (number < 0)
		goto untouched;
	r = &t->rule[number & (RULES_MAX - 1)];
	call.value = *value;
	hold_call(r, socket, &call);
	if (call.follows >= 0)
		bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &call.follows, sizeof(call.follows));
	if (call.value == *value)
		goto untouched;
	*value = call.value;
	ctx->optlen = sizeof(call.value);
	count(r, OUTCOME_HELD);
	return 1;

untouched:
	/* The kernel has copied no more than a page of the value: it takes the caller's own. */
	ctx->optlen = 0;
	return 1;
}

/* Listeners from before: who holds them owns them. */
SEC("iter/task_file")
int seed(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct owner *owner;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket || socket->type != SOCK_STREAM)
		return 0;
	sk = socket->sk;
	if (!sk || sk->__sk_common.skc_state != TCP_LISTEN || !bpf_skc_to_tcp_sock(sk))
		return 0;
	owner = bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!owner || owner->pid)
		return 0;
	name_of(task, owner->comm);
	owner->pid = task->tgid;
	return 0;
}

/* What first_match() says of a subject with this path. */
struct question {
	struct subject subject;
	__u32 path_len;	/* 0: not known */
	__s32 answer;
	char path[PATH_LEN];
};

SEC("syscall")
int match_once(struct question *q)
{
	struct clauses candidates = { { ~0ULL, ~0ULL, ~0ULL, ~0ULL } }, fresh;
	struct table *t = table_in_force();
	struct subject s = q->subject;
	__u64 key = work_key(false);
	struct work *w;

	if (!t)
		return -1;
	by_name(t, &s, &candidates);
	if (!q->path_len) {
		nowhere(t, &s, &candidates);
	} else {
		w = work_begin(key);
		if (!w)
			return -1;
		__builtin_memcpy(w->path, q->path, PATH_LEN);
		w->path_len = q->path_len;
		clauses_of_path(t, w, &fresh);
		work_end(key);
		and(&candidates, &fresh);
	}
	q->answer = first_of(t, &s, &candidates);
	return 0;
}

/* What plan() says. */
struct plan_question {
	struct rule rule;
	struct held held;
	struct step step;
	__s32 answer;
};

SEC("syscall")
int plan_once(struct plan_question *q)
{
	struct rule r = q->rule;
	struct held h = q->held;
	struct step s;

	q->answer = plan(&r, &h, &s);
	q->step = s;
	return 0;
}
