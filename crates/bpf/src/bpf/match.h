/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which rule a socket falls under: the first whose selector it matches. The twin is
 * sockpulse_core::protect::Table::first_match().
 */
#ifndef SOCKPULSE_MATCH_H
#define SOCKPULSE_MATCH_H

#include "place.h"

enum subject_flag {
	SUBJECT_PROGRAM = 1 << 0,	/* comm and pid are known */
	SUBJECT_LOCAL = 1 << 1,		/* the end here is known */
	SUBJECT_REMOTE = 1 << 2,	/* the far end is known */
	SUBJECT_STAYS = 1 << 3,		/* both ends are in one namespace */
	SUBJECT_INTERRUPT = 1 << 4,	/* `current` has nothing to do with it */
	SUBJECT_UNSURE = 1 << 5,	/* what is not known satisfies every condition */
};

struct end {
	__u64 addr[2];	/* network order; IPv4 mapped */
	__u16 port;	/* host order */
	__u16 v4;
	__u32 reserved;
};

/* A socket as far as rules ask. */
struct subject {
	__u64 comm[2];	/* NUL behind the name, and nothing else */
	__u32 pid;
	__u32 netns;
	__u64 cgroup;	/* its id; 0: not known */
	__u64 node;	/* the kernel's node of the cgroup */
	struct end local;
	struct end remote;
	__u32 flags;	/* enum subject_flag */
	__u32 reserved;
};

struct name_key {
	__u64 generation;
	__u64 comm[2];
};

/* The clauses that a name satisfies, as long as it is asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct name_key);
	__type(value, struct clauses);
} names SEC(".maps");

struct place_key {
	__u64 generation;
	__u64 cgroup;
};

/* The clauses that a cgroup satisfies. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place_key);
	__type(value, struct clauses);
} places SEC(".maps");

/* Holds every name that is asked for against one. */
__noinline int learn_name(const struct table *t, const struct subject *s, struct clauses *c)
{
	struct work *w;
	__u32 i, len;
	__u64 key;

	if (!t || !s || !c)
		return -1;
	key = work_key(s->flags & SUBJECT_INTERRUPT);
	w = work_begin(key);
	if (!w)
		return -1;
	*c = t->nameless;
	__builtin_memcpy(w->text, s->comm, sizeof(s->comm));
	for (len = 0; len < sizeof(s->comm); len++)
		if (!w->text[len])
			break;
	for (i = 0; i < NAMES_MAX; i++) {
		if (i >= t->names)
			break;
		if (glob(w, &t->name[i], len))
			or(c, &t->of_name[i]);
	}
	work_end(key);
	return 0;
}

/* Holds every place that is asked for against a cgroup. */
__noinline int learn_place(const struct table *t, const struct subject *s, struct clauses *c)
{
	struct work *w;
	__u64 key;
	int known;

	if (!t || !s || !c)
		return -1;
	key = work_key(s->flags & SUBJECT_INTERRUPT);
	w = work_begin(key);
	if (!w)
		return -1;
	known = path_of(w, s->node);
	if (!known)
		clauses_of_path(t, w, c);
	work_end(key);
	return known;
}

/* All that there are. */
static __always_inline void every_clause(const struct table *t, struct clauses *candidates)
{
	__u32 w, n;

	for (w = 0; w < WORDS; w++) {
		n = t->clauses > w * 64 ? t->clauses - w * 64 : 0;
		candidates->word[w] &= n >= 64 ? ~0ULL : (1ULL << n) - 1;
	}
}

/* Without a name: only clauses that ask for none. */
static __always_inline void by_name(const struct table *t, const struct subject *s,
				    struct clauses *candidates)
{
	struct name_key key = { t->generation, { s->comm[0], s->comm[1] } };
	struct clauses *found, fresh = {};

	if (!(s->flags & SUBJECT_PROGRAM) && (s->flags & SUBJECT_UNSURE)) {
		every_clause(t, candidates);
		return;
	}
	if (!(t->flags & TABLE_NAMES) || !(s->flags & SUBJECT_PROGRAM)) {
		and(candidates, &t->nameless);
		return;
	}
	found = bpf_map_lookup_elem(&names, &key);
	if (found) {
		and(candidates, found);
	} else if (learn_name(t, s, &fresh)) {
		and(candidates, &t->nameless);
	} else {
		and(candidates, &fresh);
		bpf_map_update_elem(&names, &key, &fresh, BPF_ANY);
	}
}

/* Without a place: only clauses that ask for none. */
static __always_inline void nowhere(const struct table *t, const struct subject *s,
				    struct clauses *candidates)
{
	if (s->flags & SUBJECT_UNSURE)
		return;
	and(candidates, &t->placeless[PLACE_UNIT]);
	and(candidates, &t->placeless[PLACE_CONTAINER]);
	and(candidates, &t->placeless[PLACE_CGROUP]);
}

static __always_inline void by_place(const struct table *t, const struct subject *s,
				     struct clauses *candidates)
{
	struct place_key key = { t->generation, s->cgroup };
	struct clauses *found, fresh = {};

	if (!(t->flags & TABLE_PLACES))
		return;
	if (!s->cgroup) {
		nowhere(t, s, candidates);
		return;
	}
	found = bpf_map_lookup_elem(&places, &key);
	if (found) {
		and(candidates, found);
	} else if (learn_place(t, s, &fresh)) {
		nowhere(t, s, candidates);
	} else {
		and(candidates, &fresh);
		bpf_map_update_elem(&places, &key, &fresh, BPF_ANY);
	}
}

static __always_inline bool in_net(const struct end *end, const struct end_pattern *p)
{
	return !((end->addr[0] ^ p->net[0]) & p->mask[0]) &&
	       !((end->addr[1] ^ p->net[1]) & p->mask[1]) &&
	       !!(p->flags & END_V4) == end->v4;
}

static __always_inline bool at_end(const struct end *end, const struct end_pattern *p)
{
	if ((p->flags & END_PORT) && p->port != end->port)
		return false;
	return !(p->flags & END_NET) || in_net(end, p);
}

static __always_inline bool is_process(const struct subject *s, __u32 pid)
{
	if (s->flags & SUBJECT_PROGRAM)
		return s->pid == pid;
	return s->flags & SUBJECT_UNSURE;
}

/* The conditions that are not remembered. */
static __always_inline bool satisfies(const struct clause *c, const struct subject *s)
{
	__u32 asked = c->flags;

	if ((asked & CLAUSE_PID) && !is_process(s, c->pid))
		return false;
	if ((asked & CLAUSE_NETNS) && c->netns != s->netns)
		return false;
	/* The port of an end that is not known is 0, which no rule asks for. */
	if ((asked & CLAUSE_PORT) && c->port != s->local.port && c->port != s->remote.port)
		return false;
	if ((asked & CLAUSE_LOCAL) &&
	    (!(s->flags & SUBJECT_LOCAL) || !at_end(&s->local, &c->local)))
		return false;
	if ((asked & CLAUSE_REMOTE) &&
	    (!(s->flags & SUBJECT_REMOTE) || !at_end(&s->remote, &c->remote)))
		return false;
	return true;
}

/* Where the lowest bit stands, by a de Bruijn sequence: BPF has no instruction for it. */
static const __u8 bit_of[64] = {
	0,  1,  2,  53, 3,  7,  54, 27, 4,  38, 41, 8,  34, 55, 48, 28, 62, 5,  39, 46, 44, 42,
	22, 9,  24, 35, 59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21,
	23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
};

static __always_inline __u32 lowest(__u64 word)
{
	return bit_of[((word & -word) * 0x022fdd63cc95386dULL) >> 58];
}

/* Candidates that are still to be looked at. */
struct rest {
	__u64 word;
	__u32 first;	/* the clause of the lowest bit */
	__u32 reserved;
};

/* Looks at the next ones of a word. */
__noinline int first_piece(const struct table *t, const struct subject *s, struct rest *rest)
{
	const struct clause *c;
	__u64 word;
	__u32 i;

	if (!t || !s || !rest)
		return -1;
	word = rest->word;
	for (i = 0; i < PIECE; i++) {
		if (!word)
			break;
		c = &t->clause[(rest->first + lowest(word)) & (CLAUSES_MAX - 1)];
		if (satisfies(c, s))
			return c->rule;
		word &= word - 1;
	}
	rest->word = word;
	return -1;
}

/* The first of these clauses whose remaining conditions hold, as the number of its rule. */
__noinline int first_of(const struct table *t, const struct subject *s,
			const struct clauses *candidates)
{
	struct rest rest;
	__u32 w, i;
	int rule;

	if (!t || !s || !candidates)
		return -1;
	for (w = 0; w < WORDS; w++) {
		rest.word = candidates->word[w];
		rest.first = w * 64;
		rest.reserved = 0;
		for (i = 0; i < 64 / PIECE; i++) {
			if (!rest.word)
				break;
			rule = first_piece(t, s, &rest);
			if (rule >= 0)
				return rule;
		}
	}
	return -1;
}

/* The rule's number, or -1. */
static __always_inline int first_match(const struct table *t, const struct subject *s)
{
	struct clauses candidates = { { ~0ULL, ~0ULL, ~0ULL, ~0ULL } };

	by_name(t, s, &candidates);
	by_place(t, s, &candidates);
	return first_of(t, s, &candidates);
}

#endif
