/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What rules ask about a socket: whose it is, where, from where to where. */
#ifndef SOCKPULSE_SUBJECT_H
#define SOCKPULSE_SUBJECT_H

#include "match.h"
#include "socket.h"

#include <bpf/bpf_endian.h>

/* The word up to its first NUL, and zeros. */
static __always_inline __u64 up_to_nul(__u64 word)
{
	__u64 zero = nul_bytes(word);

	/* The lowest mark stands in the highest bit of its byte. */
	return zero ? word & (((zero & -zero) >> 7) - 1) : word;
}

/* The name in these bytes, and zeros. */
static __always_inline void tidy(__u64 comm[2], const __u64 bytes[2])
{
	comm[1] = nul_bytes(bytes[0]) ? 0 : up_to_nul(bytes[1]);
	comm[0] = up_to_nul(bytes[0]);
}

/* The name of the program, not of the thread, with NUL behind it and nothing else: the kernel leaves
 * what stood there before. */
static __always_inline void name_of(const struct task_struct *task, __u64 comm[2])
{
	const struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u64 bytes[2] = {};

	bpf_core_read(bytes, sizeof(bytes), &leader->comm);
	tidy(comm, bytes);
}

static __always_inline __u32 process_of(const struct task_struct *task)
{
	return BPF_CORE_READ(task, tgid);
}

static __always_inline void owner_is_current(const struct table *t, struct subject *s)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();

	s->flags |= SUBJECT_PROGRAM;
	s->pid = process_of(task);
	if (t->flags & TABLE_NAMES)
		name_of(task, s->comm);
}

/* The same where the kernel has faster ways (connect and bind, since 5.7). Most callers are their
 * process's first thread, which has its name. */
static __always_inline void owner_is_caller(const struct table *t, struct subject *s)
{
	__u64 ids = bpf_get_current_pid_tgid();

	s->flags |= SUBJECT_PROGRAM;
	s->pid = ids >> 32;
	if (!(t->flags & TABLE_NAMES))
		return;
	if (s->pid == (__u32)ids)
		bpf_get_current_comm(s->comm, sizeof(s->comm));
	else
		name_of((const void *)bpf_get_current_task(), s->comm);
}

static __always_inline void end_v4(struct end *end, __be32 addr, __u16 port)
{
	end->addr[0] = 0;
	end->addr[1] = (__u64)addr << 32 | bpf_htonl(0xffff);
	end->port = port;
	end->v4 = 1;
}

static __always_inline void end_v6(struct end *end, __u32 a, __u32 b, __u32 c, __u32 d, __u16 port)
{
	end->addr[0] = (__u64)b << 32 | a;
	end->addr[1] = (__u64)d << 32 | c;
	end->port = port;
	end->v4 = !a && !b && c == bpf_htonl(0xffff);
}

static __always_inline void end_of(struct end *end, const struct in6_addr *addr, __u16 port)
{
	end_v6(end, addr->in6_u.u6_addr32[0], addr->in6_u.u6_addr32[1],
	       addr->in6_u.u6_addr32[2], addr->in6_u.u6_addr32[3], port);
}

/* Not known before the socket is bound, by its program or by the kernel. */
static __always_inline void local_end_at(struct subject *s, const struct sock_common *skc, __u16 port)
{
	if (!port)
		return;
	s->flags |= SUBJECT_LOCAL;
	if (skc->skc_family == AF_INET)
		end_v4(&s->local, skc->skc_rcv_saddr, port);
	else if (bpf_core_field_exists(skc->skc_v6_rcv_saddr))
		end_of(&s->local, &skc->skc_v6_rcv_saddr, port);
}

static __always_inline void local_end(struct subject *s, const struct sock_common *skc)
{
	local_end_at(s, skc, skc->skc_num);
}

static __always_inline void remote_end(struct subject *s, const struct sock_common *skc)
{
	s->flags |= SUBJECT_REMOTE;
	if (skc->skc_family == AF_INET)
		end_v4(&s->remote, skc->skc_daddr, bpf_ntohs(skc->skc_dport));
	else if (bpf_core_field_exists(skc->skc_v6_daddr))
		end_of(&s->remote, &skc->skc_v6_daddr, bpf_ntohs(skc->skc_dport));
}

/* 127.0.0.0/8 and ::1; to connect to 0.0.0.0 or :: means these too. */
static __always_inline bool is_loopback(const struct end *end)
{
	__u32 v4 = end->addr[1] >> 32;

	if (end->v4)
		return (v4 & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !end->addr[0] && end->addr[1] == (__u64)bpf_htonl(1) << 32;
}

static __always_inline bool is_any(const struct end *end)
{
	if (end->v4)
		return !(end->addr[1] >> 32);
	return !end->addr[0] && !end->addr[1];
}

static __always_inline bool stays(const struct subject *s)
{
	return is_loopback(&s->remote) || is_any(&s->remote) ||
	       (s->remote.addr[0] == s->local.addr[0] && s->remote.addr[1] == s->local.addr[1]);
}

/* The root's, always. */
#define ROOT_ID 1

/* The cgroup in which the socket was made is the root: that of the caller, as the readers have it. */
static __always_inline void place_of_caller(struct subject *s)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct kernfs_node *kn = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);

	s->node = (__u64)kn;
	s->cgroup = BPF_CORE_READ(kn, id);
}

static __always_inline void place_of(struct subject *s, const struct sock *sk)
{
	const struct kernfs_node *kn;

	if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return;
	kn = sk->sk_cgrp_data.cgroup->kn;
	s->node = (__u64)kn;
	s->cgroup = kn->id;
	if (s->cgroup == ROOT_ID && !(s->flags & SUBJECT_INTERRUPT))
		place_of_caller(s);
}

#endif
