// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes a record for every descriptor of every process that is a TCP socket. */
#include "fill.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The process's id in the pid namespace of whoever reads: the iterator walks that namespace, and
 * the program runs in the context of read(2). */
static __always_inline void fill_pid(struct record *r, struct task_struct *task)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	unsigned int level = reader->thread_pid->level;
	struct pid *pid;

	if (level == 0) {
		r->pid = task->tgid;
		return;
	}
	pid = task->signal->pids[PIDTYPE_TGID];
	bpf_probe_read_kernel(&r->pid, sizeof(r->pid), &pid->numbers[level].nr);
}

/* A thread with its process's descriptors. Linux 6.1 to 6.6 show them too when one process was asked
 * for. */
static __always_inline bool is_repetition(const struct task_struct *task)
{
	const struct task_struct *leader = task->group_leader;

	return task != leader && task->files == leader->files;
}

/* Whether the descriptors are those of one process alone, which is shown once. Not so when another
 * process shares the table (CLONE_FILES without CLONE_THREAD), and when the first thread has ended:
 * then all others are shown. */
static __always_inline bool owns_descriptors(const struct task_struct *task)
{
	const struct files_struct *files = task->group_leader->files;

	return files && files->count.counter <= task->signal->nr_threads;
}

/* While an object is shown the iterator holds a reference of its own, which is not counted. */
static __always_inline void fill_file_refs(struct record *r, const struct file *file)
{
	const struct file___ref *newer = (const void *)file;
	const struct file___count *older = (const void *)file;
	__s64 refs;

	if (bpf_core_field_exists(newer->f_ref))
		refs = newer->f_ref.refcnt.counter;
	else if (bpf_core_field_exists(older->f_count))
		refs = older->f_count.counter - 1;
	else
		return;
	r->flags |= FLAG_FILE_REFS;
	r->file_refs = refs < 0 ? 0 : refs > 0xffffffff ? 0xffffffff : refs;
}

/* The timers of a Multipath TCP connection are those of its subflows, and so are the settings that
 * count: on Linux 6.16 a SO_KEEPALIVE from before the connect was seen not to reach them. */
static __always_inline void fill_mptcp(struct record *r, struct sock *sk)
{
	struct tcp_sock *first = NULL;
	unsigned long flags;

	r->kind = KIND_MPTCP;
	fill_sock(r, sk);
	if (bpf_core_field_exists(((struct mptcp_sock *)sk)->first))
		first = (struct tcp_sock *)BPF_CORE_READ((struct mptcp_sock *)sk, first);
	if (!first)
		return;
	flags = BPF_CORE_READ((struct sock *)first, __sk_common.skc_flags);
	r->flags &= ~FLAG_KEEPALIVE;
	if (flags & (1 << SOCK_KEEPOPEN))
		r->flags |= FLAG_KEEPALIVE;
	r->flags |= FLAG_SETTINGS;
	r->keepalive_time = BPF_CORE_READ(first, keepalive_time);
	r->keepalive_intvl = BPF_CORE_READ(first, keepalive_intvl);
	r->keepalive_probes = BPF_CORE_READ(first, keepalive_probes);
	r->user_timeout = BPF_CORE_READ(first, inet_conn.icsk_user_timeout);
}

SEC("iter/task_file")
int task_file(struct bpf_iter__task_file *ctx)
{
	/* The verifier knows a NULL test only of a copy. */
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct record r = {};
	struct socket *socket;
	struct tcp_sock *tp;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket || socket->type != SOCK_STREAM)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	if (is_repetition(task))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		fill_tcp(&r, tp);
	else if (sk->sk_protocol == IPPROTO_MPTCP)
		fill_mptcp(&r, sk);
	else
		return 0;
	r.cookie = bpf_get_socket_cookie(sk);
	r.inode = file->f_inode->i_ino;
	if (owns_descriptors(task))
		fill_file_refs(&r, file);
	r.flags |= FLAG_PROCESS;
	fill_pid(&r, task);
	r.fd = ctx->fd;
	bpf_probe_read_kernel(r.comm, sizeof(r.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
