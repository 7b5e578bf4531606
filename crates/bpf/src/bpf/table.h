/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules as the kernel reads them. Written by encode.rs; both sides assert sizes and offsets at
 * compile time. A change here is a new LAYOUT.
 *
 * A rule is the "or" of its clauses, a clause the "and" of its conditions. Those on the program's
 * name and on its place are the same for many sockets: they are answered by sets of clauses that are
 * remembered for each name and each cgroup. What is left is looked at clause by clause.
 */
#ifndef SOCKPULSE_TABLE_H
#define SOCKPULSE_TABLE_H

#include "kernel.h"

#define LAYOUT 1
#define RULES_MAX 64
#define CLAUSES_MAX 256
#define NAMES_MAX 64
#define PLACES_MAX 32
#define TOKENS_MAX 63
#define PATTERN_MAX 256
#define TEXT_MAX 98304
#define WORDS (CLAUSES_MAX / 64)

enum mode {
	MODE_FILL = 0,
	MODE_TIGHTEN = 1,
	MODE_OVERRIDE = 2,
	MODE_OFF = 3,
};

enum rule_flag {
	RULE_LOCAL = 1 << 0,		/* connections that stay in the namespace too */
	RULE_USER_TIMEOUT = 1 << 1,	/* user_timeout is asked for */
	RULE_AUTO = 1 << 2,		/* as idle + interval x probes come out */
};

enum table_flag {
	TABLE_EACH = 1 << 0,	/* sock_ops decides each connection; listeners are left alone */
	TABLE_HOLD = 1 << 1,	/* setsockopt calls are looked at */
	TABLE_PLACES = 1 << 2,	/* some clause asks for a place */
	TABLE_NAMES = 1 << 3,	/* some clause asks for a name */
};

enum place_kind {
	PLACE_UNIT = 0,
	PLACE_CONTAINER = 1,
	PLACE_CGROUP = 2,
	PLACE_KINDS = 3,
};

enum clause_flag {
	CLAUSE_PID = 1 << 0,
	CLAUSE_NETNS = 1 << 1,
	CLAUSE_PORT = 1 << 2,
	CLAUSE_LOCAL = 1 << 3,
	CLAUSE_REMOTE = 1 << 4,
};

enum end_flag {
	END_NET = 1 << 0,
	END_PORT = 1 << 1,
	END_V4 = 1 << 2,	/* the net is one of IPv4 */
};

/* A set of clauses. */
struct clauses {
	__u64 word[WORDS];
};

/* A name, a path, or a name with `*` and `?` as an automaton: in state n it has read n tokens, and
 * a star keeps it there. */
struct pattern {
	__u64 stars;	/* states that any byte leaves as they are */
	__u64 any;	/* tokens that are `?` */
	__u16 len;	/* of what follows: at most TOKENS_MAX in an automaton */
	__u8 kind;	/* enum place_kind */
	__u8 automaton;	/* 0: the name itself */
	__u32 reserved;
	__u8 token[PATTERN_MAX];
};

struct end_pattern {
	__u64 net[2];		/* network order; IPv4 mapped */
	__u64 mask[2];
	__u16 port;		/* host order */
	__u8 flags;		/* enum end_flag */
	__u8 reserved[5];
};

struct clause {
	__u32 flags;		/* enum clause_flag */
	__u32 pid;
	__u32 netns;
	__u16 port;
	__u8 rule;
	__u8 reserved;
	struct end_pattern local;
	struct end_pattern remote;
};

struct rule {
	__u32 user_timeout;	/* milliseconds */
	__u16 idle;		/* seconds; 0: not asked for */
	__u16 interval;
	__u8 probes;
	__u8 mode;		/* enum mode */
	__u8 flags;		/* enum rule_flag */
	__u8 counter;		/* its place among the counters */
	__u32 reserved;
};

struct table {
	/* These never move, whatever the layout. */
	__u32 layout;
	__u32 rules;
	__u32 text_at;		/* from the beginning of the table */
	__u32 text_len;
	__u64 generation;
	/* These may. */
	__u32 flags;		/* enum table_flag */
	__u32 clauses;
	__u32 names;
	__u32 places;
	struct clauses nameless;		/* without a condition on the name */
	struct clauses placeless[PLACE_KINDS];	/* without one on this kind of place */
	struct clauses of_name[NAMES_MAX];	/* that ask for this name */
	struct clauses of_place[PLACES_MAX];
	struct rule rule[RULES_MAX];
	struct clause clause[CLAUSES_MAX];
	struct pattern name[NAMES_MAX];
	struct pattern place[PLACES_MAX];
	char text[TEXT_MAX];
};

#define AT(type, field, at) \
	_Static_assert(__builtin_offsetof(struct type, field) == (at), "offset of " #field)

AT(pattern, token, 24);
_Static_assert(sizeof(struct pattern) == 280, "size of struct pattern");
AT(end_pattern, port, 32);
_Static_assert(sizeof(struct end_pattern) == 40, "size of struct end_pattern");
AT(clause, local, 16);
_Static_assert(sizeof(struct clause) == 96, "size of struct clause");
AT(rule, mode, 9);
_Static_assert(sizeof(struct rule) == 16, "size of struct rule");
AT(table, generation, 16);
AT(table, nameless, 40);
AT(table, of_name, 168);
AT(table, of_place, 2216);
AT(table, rule, 3240);
AT(table, clause, 4264);
AT(table, name, 28840);
AT(table, place, 46760);
AT(table, text, 55720);
_Static_assert(sizeof(struct table) == 154024, "size of struct table");

#endif
