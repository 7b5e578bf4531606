// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tells of connections that open, fall silent, recover and end.
 *
 * All TCP traffic of the machine comes by here, several times a connection: what is not asked for has
 * to leave at once.
 */
#include "option.h"
#include "tell.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EPIPE 32
#define ECONNABORTED 103
#define ECONNRESET 104

/* The kernel's function for keepalive timers; learned from a socket. */
__u64 keepalive_timer = 0;

/* Asking for a socket's cookie makes the kernel give it one: where all that is known of a socket is its address, there
 * is no way to ask. */
static __always_inline void connecting(struct sock *sk, __u64 key)
{
	struct life life = {};

	bpf_get_socket_cookie(sk);
	describe_caller(&life.connected);
	life.opened = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&lives, &key, &life, BPF_ANY);
}

static __always_inline void accepted(struct sock *sk, __u64 key)
{
	struct life life = {};

	bpf_get_socket_cookie(sk);
	life.opened = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&lives, &key, &life, BPF_ANY);
}

static __always_inline void opened(struct sock *sk, const struct tcp_sock *tp, __u64 key,
				   bool by_peer)
{
	const struct life *life = bpf_map_lookup_elem(&lives, &key);
	struct subject s = {};
	struct happening *h;

	subject_of(&s, tp);
	if (life && life->connected.pid) {
		s.flags |= SUBJECT_PROGRAM;
		s.pid = life->connected.pid;
		s.comm[0] = life->connected.comm[0];
		s.comm[1] = life->connected.comm[1];
	}
	if (!is_meant(&s))
		return;
	h = begin(WHAT_OPENED);
	if (!h)
		return;
	tell_socket(h, sk, tp);
	h->record.state = TCP_ESTABLISHED;
	h->accepted = by_peer;
	tell_life(h, life, &s.local);
	bpf_ringbuf_submit(h, BPF_RB_NO_WAKEUP);
}

/* What still waited, by which the timer is known that gave it up: the queues are empty by now. */
static __always_inline void tell_rest(struct happening *h, const struct tcp_sock *tp)
{
	const struct inet_connection_sock___probed *icsk = (const void *)&tp->inet_conn;
	__s32 unsent = tp->write_seq - tp->snd_nxt;

	h->unsent = unsent > 0 ? unsent : 0;
	if (bpf_core_field_exists(icsk->icsk_probes_tstamp) && icsk->icsk_probes_tstamp)
		h->window_probed = age(icsk->icsk_probes_tstamp, bpf_jiffies64());
}

static __always_inline void ended(struct sock *sk, const struct tcp_sock *tp, __u64 key)
{
	enum what what = sk->sk_err ? WHAT_DIED : WHAT_CLOSED;
	const struct life *life;
	struct subject s = {};
	struct happening *h;

	if (!is_asked_for(what))
		return;
	subject_of(&s, tp);
	if (!is_meant(&s))
		return;
	h = begin(what);
	if (!h)
		return;
	life = bpf_map_lookup_elem(&lives, &key);
	tell_socket(h, sk, tp);
	tell_life(h, life, &s.local);
	h->error = sk->sk_err;
	h->soft_error = sk->sk_err_soft;
	h->reset = h->error == ECONNRESET || h->error == EPIPE || (life && life->reset);
	tell_rest(h, tp);
	/* No other end is made by a process. */
	if (h->error == ECONNABORTED)
		tell_actor(h);
	bpf_ringbuf_submit(h, what == WHAT_DIED ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* The socket still has the state that it leaves. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int before, int now)
{
	__u64 key = (__u64)sk;
	struct tcp_sock *tp;

	if (now != TCP_CLOSE && now != TCP_ESTABLISHED && now != TCP_SYN_SENT && now != TCP_LISTEN)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || before == now)
		return 0;
	if (now == TCP_SYN_SENT) {
		connecting(sk, key);
	} else if (now == TCP_ESTABLISHED) {
		if (before == TCP_SYN_RECV)
			accepted(sk, key);
		if (is_asked_for(WHAT_OPENED))
			opened(sk, tp, key, before == TCP_SYN_RECV);
	} else if (now == TCP_LISTEN) {
		remember_listener(sk, (const void *)bpf_get_current_task());
	} else if (before != TCP_LISTEN) {
		ended(sk, tp, key);
		bpf_map_delete_elem(&lives, &key);
	}
	return 0;
}

/* In other states the error says so. Here it may also come from a message of ICMP. */
SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct life *life;

	if (sk->__sk_common.skc_state != TCP_SYN_SENT)
		return 0;
	life = bpf_map_lookup_elem(&lives, &key);
	if (life)
		life->reset = 1;
	return 0;
}

/* Where the kernel would send a probe now: an earlier one that counts has no answer. Zero-window
 * probes count too, but there is data then. */
static __always_inline bool is_due(const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!(BPF_CORE_READ(sk, __sk_common.skc_flags) & (1 << SOCK_KEEPOPEN)))
		return false;
	if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_LISTEN)
		return false;
	return !BPF_CORE_READ(tp, packets_out) &&
	       BPF_CORE_READ(tp, write_seq) == BPF_CORE_READ(tp, snd_una);
}

/* When the peer was last heard, as the low half of jiffies. */
static __always_inline __u32 heard(const struct tcp_sock *tp)
{
	__u32 acked = BPF_CORE_READ(tp, rcv_tstamp);
	__u32 received = BPF_CORE_READ(tp, inet_conn.icsk_ack.lrcvtime);

	return (__s32)(acked - received) > 0 ? acked : received;
}

static __always_inline void tell_tick(enum what what, __u64 socket, const struct life *life,
				      __u32 silence, __u8 unanswered)
{
	struct subject s = {};
	struct happening *h;

	if (!is_asked_for(what))
		return;
	subject_unchecked(&s, socket);
	if (!is_meant(&s))
		return;
	h = begin(what);
	if (!h)
		return;
	tell_unchecked(h, socket);
	tell_life(h, life, &s.local);
	h->silence = silence;
	h->unanswered = unanswered;
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void unanswered(__u64 socket, struct life *life, __u8 probes)
{
	const struct tcp_sock *tp = (const void *)socket;
	struct life fresh = { .probing = probes };

	if (life && life->probing) {
		life->probing = probes;
		return;
	}
	if (!is_due(tp))
		return;
	if (life) {
		life->heard = heard(tp);
		life->probing = probes;
	} else {
		fresh.heard = heard(tp);
		/* What cannot be remembered is told when the first probe is missed, and never again. */
		if (bpf_map_update_elem(&lives, &socket, &fresh, BPF_NOEXIST) && probes != 1)
			return;
	}
	tell_tick(WHAT_PROBING, socket, life, 0, probes);
}

/* A keepalive timer is due: the kernel has not looked at the socket yet. */
SEC("tp_btf/timer_expire_entry")
int BPF_PROG(on_timer, struct timer_list *timer)
{
	const struct inet_connection_sock___keepalive *newer = NULL;
	const struct tcp_sock *tp;
	struct life *life;
	__u64 socket;
	__u8 probes;

	if ((__u64)timer->function != keepalive_timer)
		return 0;
	socket = unchecked(timer);
	if (bpf_core_field_exists(newer->icsk_keepalive_timer))
		socket -= bpf_core_field_offset(newer->icsk_keepalive_timer);
	else
		socket -= bpf_core_field_offset(struct sock, sk_timer);
	tp = (const void *)socket;
	life = bpf_map_lookup_elem(&lives, &socket);
	probes = BPF_CORE_READ(tp, inet_conn.icsk_probes_out);
	if (probes) {
		unanswered(socket, life, probes);
	} else if (life && life->probing) {
		probes = life->probing;
		life->probing = 0;
		tell_tick(WHAT_RECOVERED, socket, life, heard(tp) - life->heard, probes);
	}
	return 0;
}

/* What the socket has, in the option's unit; -1: it inherits. */
static __always_inline __s32 value_of(const struct tcp_sock *tp, int level, int option)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	__u32 stored;

	if (level == SOL_SOCKET)
		return !!(BPF_CORE_READ(sk, __sk_common.skc_flags) & (1 << SOCK_KEEPOPEN));
	if (option == TCP_USER_TIMEOUT)
		return BPF_CORE_READ(tp, inet_conn.icsk_user_timeout);
	if (option == TCP_KEEPCNT)
		stored = BPF_CORE_READ(tp, keepalive_probes);
	else if (option == TCP_KEEPINTVL)
		stored = BPF_CORE_READ(tp, keepalive_intvl) / hz;
	else
		stored = BPF_CORE_READ(tp, keepalive_time) / hz;
	return stored ? stored : -1;
}

static __always_inline bool is_connection(__u8 state)
{
	return state != TCP_CLOSE && state != TCP_LISTEN;
}

static __always_inline void changed(__u64 socket, int level, int option, __s32 value)
{
	const struct sock *sk = (const void *)socket;
	struct subject s = {};
	struct happening *h;

	if (!is_connection(BPF_CORE_READ(sk, __sk_common.skc_state)) ||
	    value_of((const void *)socket, level, option) == value)
		return;
	subject_unchecked(&s, socket);
	if (!is_meant(&s))
		return;
	h = begin(WHAT_CHANGED);
	if (!h)
		return;
	tell_unchecked(h, socket);
	tell_life(h, bpf_map_lookup_elem(&lives, &socket), &s.local);
	tell_actor(h);
	h->level = level;
	h->option = option;
	h->value = value;
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
}

/* Watches and changes nothing. */
SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	int level = ctx->level, option = ctx->optname;
	struct bpf_sock *sk = ctx->sk;
	__s32 *value = ctx->optval;

	/* The kernel has copied no more than a page of the value, and would refuse more: it is to take the
	 * caller's own. Shorter ones are left, since another program may have made something of it. */
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	if (!is_held(level, option) || !sk || sk->type != SOCK_STREAM ||
	    sk->protocol != IPPROTO_TCP || !hz)
		return 1;
	if ((void *)(value + 1) > ctx->optval_end || !is_valid(level, option, *value))
		return 1;
	changed(unchecked(sk), level, option, level == SOL_SOCKET ? !!*value : *value);
	return 1;
}

/* What was there before: who listens, what has no cookie yet; and what a socket's timer calls, which is
 * answered once. */
SEC("iter/task_file")
int learn(struct bpf_iter__task_file *ctx)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	const struct inet_connection_sock___keepalive *newer;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct tcp_sock *tp;
	struct sock *sk;
	__u64 function;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket || socket->type != SOCK_STREAM)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	bpf_get_socket_cookie(sk);
	pid_level = reader->thread_pid->level;
	newer = (const void *)tp;
	if (bpf_core_field_exists(newer->icsk_keepalive_timer))
		function = (__u64)newer->icsk_keepalive_timer.function;
	else
		function = (__u64)sk->sk_timer.function;
	if (keepalive_timer != function) {
		keepalive_timer = function;
		bpf_seq_write(ctx->meta->seq, &function, sizeof(function));
	}
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		remember_listener(sk, task);
	return 0;
}
