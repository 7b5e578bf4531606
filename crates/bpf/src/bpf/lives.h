/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is remembered of connections from one event to the next. */
#ifndef SOCKPULSE_LIVES_H
#define SOCKPULSE_LIVES_H

#include "happening.h"
#include "subject.h"

struct program {
	__u64 comm[2];
	__u32 pid;
	__u32 reserved;
};

/* A connection that was opened or fell silent since the programs were attached. */
struct life {
	struct program connected;	/* pid 0: it was accepted */
	__u64 opened;			/* CLOCK_BOOTTIME; 0: before */
	__u32 heard;			/* low half of jiffies: when the peer was last, before `probing` */
	__u8 probing;			/* how many probes are unanswered */
	__u8 reset;			/* a RST came */
	__u8 reserved[2];
};

/* By the socket's address, which no other has before this one is closed, when its entry goes. When there are too
 * many connections the last ones have none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, __u64);
	__type(value, struct life);
} lives SEC(".maps");

struct listener {
	__u64 addr[2];
	__u32 netns;
	__u16 port;
	__u16 v4;
};

/* Who listens, or did last. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct listener);
	__type(value, struct program);
} listeners SEC(".maps");

/* How deep the pid namespace of whoever reads is nested. */
__u32 pid_level = 0;

static __always_inline __u32 pid_of(const struct task_struct *task)
{
	const struct pid *pid;
	__u32 number = 0;

	if (!pid_level)
		return BPF_CORE_READ(task, tgid);
	pid = BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]);
	bpf_probe_read_kernel(&number, sizeof(number), &pid->numbers[pid_level].nr);
	return number;
}

static __always_inline void describe(struct program *p, const struct task_struct *task)
{
	p->pid = pid_of(task);
	p->reserved = 0;
	name_of(task, p->comm);
}

/* Most callers are their process's first thread, which has its name. */
static __always_inline void describe_caller(struct program *p)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (pid_level || ids >> 32 != (__u32)ids) {
		describe(p, (const void *)bpf_get_current_task());
		return;
	}
	p->pid = ids >> 32;
	p->reserved = 0;
	bpf_get_current_comm(p->comm, sizeof(p->comm));
}

static __always_inline void listener_at(struct listener *l, const struct end *end, __u32 netns)
{
	l->addr[0] = end->addr[0];
	l->addr[1] = end->addr[1];
	l->netns = netns;
	l->port = end->port;
	l->v4 = end->v4;
}

static __always_inline void remember_listener(const struct sock *sk, const struct task_struct *task)
{
	struct listener listener;
	struct program program;
	struct subject s = {};

	local_end(&s, &sk->__sk_common);
	listener_at(&listener, &s.local, sk->__sk_common.skc_net.net->ns.inum);
	describe(&program, task);
	bpf_map_update_elem(&listeners, &listener, &program, BPF_ANY);
}

/* Who listens at this end: at its address, at any of IPv4, or at any at all. */
static __always_inline struct program *listener_of(const struct end *end, __u32 netns)
{
	struct listener listener;
	struct program *found;

	listener_at(&listener, end, netns);
	found = bpf_map_lookup_elem(&listeners, &listener);
	if (found)
		return found;
	listener.addr[0] = 0;
	listener.addr[1] = bpf_htonl(0xffff);
	found = listener.v4 ? bpf_map_lookup_elem(&listeners, &listener) : NULL;
	if (found)
		return found;
	listener.addr[1] = 0;
	listener.v4 = 0;
	return bpf_map_lookup_elem(&listeners, &listener);
}

#endif
