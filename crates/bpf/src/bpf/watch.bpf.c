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
#define ECONNREFUSED 111

/* The kernel's function for keepalive timers; learned from a socket. */
__u64 keepalive_timer = 0;

static __always_inline __u64 cookie_of(const struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter;
}

/* A connection begins: here the kernel gives its socket a cookie. The name is as the kernel has it, with
 * whatever stands behind its end. */
static __always_inline void born(struct sock *sk, bool by_peer)
{
	struct task_struct *task;
	struct life *life;
	__u64 cookie;

	/* Both ends connected to each other at once: it began before. */
	if (by_peer && life_of(cookie_of(sk)))
		return;
	cookie = bpf_get_socket_cookie(sk);
	life = claim_life(cookie);
	if (!life)
		return;
	life->opened = bpf_jiffies64();
	life->pid = 0;
	if (!by_peer) {
		task = bpf_get_current_task_btf();
		life->pid = pid_level ? pid_of(task) : task->tgid;
		bpf_probe_read_kernel(life->comm, sizeof(life->comm), task->group_leader->comm);
	}
	name_life(life, cookie);
}

static __always_inline bool is_meant_socket(const struct tcp_sock *tp, const struct life *life)
{
	struct subject s = {};

	subject_of(&s, tp);
	if (life && life->pid) {
		s.flags |= SUBJECT_PROGRAM;
		s.pid = life->pid;
		tidy(s.comm, life->comm);
	}
	return is_meant(&s);
}

static __always_inline void opened(struct sock *sk, bool by_peer)
{
	const struct life *life = life_of(cookie_of(sk));
	const struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct happening *h;

	if (!tp || (only_some && !is_meant_socket(tp, life)))
		return;
	h = begin(WHAT_OPENED);
	if (!h)
		return;
	tell_socket(h, sk, tp);
	h->record.state = TCP_ESTABLISHED;
	h->accepted = by_peer;
	tell_life(h, life);
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

static __always_inline void ended(struct sock *sk, enum what what)
{
	const struct tcp_sock *tp;
	struct happening *h;
	__u64 cookie;

	if (!is_asked_for(what))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	/* Who opened it may have handed it on. */
	if (!tp || (only_some && !is_meant_socket(tp, NULL)))
		return;
	h = begin(what);
	if (!h)
		return;
	tell_socket(h, sk, tp);
	cookie = h->record.cookie;
	tell_life(h, life_of(cookie));
	h->error = sk->sk_err;
	h->soft_error = sk->sk_err_soft;
	h->reset = h->error == ECONNRESET || h->error == EPIPE ||
		   (h->error == ECONNREFUSED && bpf_map_lookup_elem(&refused, &cookie));
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
	struct life *life;

	if (now != TCP_CLOSE && now != TCP_ESTABLISHED && now != TCP_SYN_SENT && now != TCP_LISTEN)
		return 0;
	/* A program's socket of Multipath TCP comes by here too. */
	if (before == now || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (now == TCP_SYN_SENT) {
		born(sk, false);
	} else if (now == TCP_ESTABLISHED) {
		if (before == TCP_SYN_RECV)
			born(sk, true);
		if (is_asked_for(WHAT_OPENED))
			opened(sk, before == TCP_SYN_RECV);
	} else if (now == TCP_LISTEN) {
		remember_listener(sk, (const void *)bpf_get_current_task());
	} else if (before != TCP_LISTEN) {
		ended(sk, sk->sk_err ? WHAT_DIED : WHAT_CLOSED);
		life = life_of(cookie_of(sk));
		if (life)
			name_life(life, 0);
	}
	return 0;
}

/* In other states the error says so. Here it may also come from a message of ICMP. */
SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset, struct sock *sk)
{
	__u64 cookie = cookie_of(sk);
	__u8 yes = 1;

	if (sk->__sk_common.skc_state == TCP_SYN_SENT && cookie)
		bpf_map_update_elem(&refused, &cookie, &yes, BPF_ANY);
	return 0;
}

static __always_inline __u64 cookie_unchecked(__u64 socket)
{
	return BPF_CORE_READ((const struct sock *)socket, __sk_common.skc_cookie.counter);
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
	__u64 now = bpf_jiffies64();

	return age(acked, now) < age(received, now) ? acked : received;
}

static __always_inline void tell_tick(enum what what, __u64 socket, __u64 cookie,
				      const struct silence *silence)
{
	const struct tcp_sock *tp = (const void *)socket;
	struct happening *h;

	if (!is_asked_for(what))
		return;
	if (only_some && !is_meant_unchecked(socket))
		return;
	h = begin(what);
	if (!h)
		return;
	tell_unchecked(h, socket);
	tell_life(h, life_of(cookie));
	h->silence = heard(tp) - silence->heard;
	h->unanswered = silence->probes;
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void unanswered(__u64 socket, __u64 cookie, struct silence *silence,
				       __u8 probes)
{
	const struct tcp_sock *tp = (const void *)socket;
	struct silence fresh = { .probes = probes };

	if (silence && silence->probes) {
		silence->probes = probes;
		return;
	}
	if (!is_due(tp))
		return;
	fresh.heard = heard(tp);
	if (cookie)
		bpf_map_update_elem(&silences, &cookie, &fresh, BPF_ANY);
	/* What cannot be remembered is told when the first probe is missed, and never again. */
	else if (probes != 1)
		return;
	tell_tick(WHAT_PROBING, socket, cookie, &fresh);
}

/* A keepalive timer is due: the kernel has not looked at the socket yet. */
SEC("tp_btf/timer_expire_entry")
int BPF_PROG(on_timer, struct timer_list *timer)
{
	const struct inet_connection_sock___keepalive *newer = NULL;
	const struct tcp_sock *tp;
	struct silence *silence;
	__u64 socket, cookie;
	__u8 probes;

	if ((__u64)timer->function != keepalive_timer)
		return 0;
	socket = unchecked(timer);
	if (bpf_core_field_exists(newer->icsk_keepalive_timer))
		socket -= bpf_core_field_offset(newer->icsk_keepalive_timer);
	else
		socket -= bpf_core_field_offset(struct sock, sk_timer);
	tp = (const void *)socket;
	cookie = cookie_unchecked(socket);
	silence = bpf_map_lookup_elem(&silences, &cookie);
	probes = BPF_CORE_READ(tp, inet_conn.icsk_probes_out);
	if (probes) {
		unanswered(socket, cookie, silence, probes);
	} else if (silence && silence->probes) {
		tell_tick(WHAT_RECOVERED, socket, cookie, silence);
		silence->probes = 0;
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
	struct happening *h;

	if (!is_connection(BPF_CORE_READ(sk, __sk_common.skc_state)) ||
	    value_of((const void *)socket, level, option) == value)
		return;
	if (only_some && !is_meant_unchecked(socket))
		return;
	h = begin(WHAT_CHANGED);
	if (!h)
		return;
	tell_unchecked(h, socket);
	tell_life(h, life_of(cookie_unchecked(socket)));
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
