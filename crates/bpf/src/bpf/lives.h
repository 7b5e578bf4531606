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

/* A connection that was opened since the programs were attached. */
struct life {
	__u64 cookie;	/* 0: of none */
	__u64 comm[2];	/* who connected */
	__u32 pid;	/* 0: it was accepted */
	__u32 opened;	/* low half of jiffies */
};

/* Lives by cookie. Every connection of the machine goes in and out, for which a map of the kernel's is too
 * dear. A cookie is the next number of its processor's, so that lives spread evenly. One that finds no
 * place in its bucket is not remembered. */
#define BUCKETS (1 << 15)
#define BUCKET_LIVES 4

/* A place that somebody is about to fill. No socket has this cookie. */
#define CLAIMED (~0ULL)

struct bucket {
	struct life life[BUCKET_LIVES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, struct bucket);
} lives SEC(".maps");

static __always_inline struct life *life_of(__u64 cookie)
{
	__u32 i, key = cookie & (BUCKETS - 1);
	struct bucket *bucket;

	/* Nobody has asked for its cookie: it is older. */
	if (!cookie)
		return NULL;
	bucket = bpf_map_lookup_elem(&lives, &key);
	if (!bucket)
		return NULL;
#pragma unroll
	for (i = 0; i < BUCKET_LIVES; i++)
		if (bucket->life[i].cookie == cookie)
			return &bucket->life[i];
	return NULL;
}

/* A place for a new one. Nobody finds it before it has its cookie, and then only who comes with the
 * socket: begun under its lock, as everything else happens to it, it needs no other order. */
static __always_inline struct life *claim_life(__u64 cookie)
{
	__u32 i, key = cookie & (BUCKETS - 1);
	struct bucket *bucket = bpf_map_lookup_elem(&lives, &key);

	if (!bucket)
		return NULL;
#pragma unroll
	for (i = 0; i < BUCKET_LIVES; i++)
		if (!bucket->life[i].cookie &&
		    !__sync_val_compare_and_swap(&bucket->life[i].cookie, 0, CLAIMED))
			return &bucket->life[i];
	return NULL;
}

static __always_inline void name_life(struct life *life, __u64 cookie)
{
	*(volatile __u64 *)&life->cookie = cookie;
}

/* A connection of which a probe is unanswered. */
struct silence {
	__u32 heard;	/* low half of jiffies: when the peer was last */
	__u32 probes;	/* how many are unanswered; 0: it has been heard again */
};

/* By cookie, which is not used again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct silence);
} silences SEC(".maps");

/* Attempts to connect that a RST answered, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} refused SEC(".maps");

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

/* Its pid. Most callers are their process's first thread, which has its name. */
static __always_inline __u32 caller(__u64 comm[2])
{
	__u64 ids = bpf_get_current_pid_tgid();
	const struct task_struct *task;

	if (pid_level || ids >> 32 != (__u32)ids) {
		task = (const void *)bpf_get_current_task();
		name_of(task, comm);
		return pid_of(task);
	}
	bpf_get_current_comm(comm, 2 * sizeof(*comm));
	return ids >> 32;
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
	name_of(task, program.comm);
	program.pid = pid_of(task);
	program.reserved = 0;
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
