/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table in force, what its rules did, and whose listeners are. */
#ifndef SOCKPULSE_RULES_H
#define SOCKPULSE_RULES_H

#include "settle.h"
#include "table.h"

#include <bpf/bpf_helpers.h>

/* Which installation these programs belong to. Set before loading. */
const volatile __u64 installation = 0;

/* Whose turn it is: programs of any other installation do nothing. Shared by all installations, and
 * so its layout can never change. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} turn SEC(".maps");

/* What programs from elsewhere need to know before they touch anything here. */
struct meta {
	__u32 magic;
	__u32 layout;
	__u64 build;	/* of the programs */
	__u64 cgroup;	/* the id of the one that they are attached to */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta);
} meta SEC(".maps");

struct only_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
};

/* The table in force. It is never written to but replaced whole: a program that has begun with the
 * old one ends with it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct only_table);
} tables SEC(".maps");

struct counts {
	__u64 outcome[OUTCOMES];
};

/* Twice as many as there are rules: a rule that stays keeps its counter, a new one gets one that is
 * free. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * RULES_MAX);
	__type(key, __u32);
	__type(value, struct counts);
} counters SEC(".maps");

/* Who made a listener listen. Accepted sockets get a copy: their first callback runs in an
 * interrupt, where nobody knows whose they are. */
struct owner {
	__u64 comm[2];
	__u32 pid;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

static __always_inline struct table *table_in_force(void)
{
	__u64 *whose;
	void *only;
	__u32 zero = 0;

	whose = bpf_map_lookup_elem(&turn, &zero);
	if (!whose || *whose != installation || !hz)
		return NULL;
	only = bpf_map_lookup_elem(&tables, &zero);
	if (!only)
		return NULL;
	return bpf_map_lookup_elem(only, &zero);
}

static __always_inline void count(const struct rule *r, enum outcome outcome)
{
	__u32 key = r->counter;
	struct counts *counts = bpf_map_lookup_elem(&counters, &key);

	if (counts)
		counts->outcome[outcome]++;
}

#endif
