/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a cgroup's path says of a place: unit, container, path. The twins are Place::from_cgroup() and
 * Selector::matches_place() of sockpulse-core. Done once for a cgroup and remembered: it takes
 * microseconds.
 */
#ifndef SOCKPULSE_PLACE_H
#define SOCKPULSE_PLACE_H

#include "kernel.h"
#include "table.h"
#include "uapi.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define PATH_LEN 1024		/* a longer path, or a deeper one, is not known */
#define NAME_LEN 256		/* kernfs has names of up to 255 bytes */
#define DEPTH 32

/* What does not fit on the stack. */
struct work {
	char path[PATH_LEN + NAME_LEN];
	/* The name that patterns are held against, with zeros behind it. */
	char text[NAME_LEN + 8];
	__u64 node[DEPTH];	/* the kernel's nodes of the path, the innermost first */
	__u32 path_len;
	/* Where the innermost unit's and container's names stand in the path. */
	__u32 unit_at, unit_len;
	__u32 container_at, container_len;
	__u32 container;	/* enum container */
	/* What a loop that is cut into pieces carries on. */
	__u32 begun, to, skip;
	__u64 state;
};

/* The verifier goes through every round of a loop, for each program anew. A loop of many rounds is
 * therefore cut into pieces of this many, in a function of their own: that is gone through once. */
#define PIECE 16

enum container {
	CONTAINER_NONE = 0,
	CONTAINER_PLAIN = 1,
	CONTAINER_ESCAPED = 2,	/* as systemd writes a machine's name: `\x2d` is `-` */
};

/* One for each caller at work: a program may be preempted by itself, or interrupted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct work);
} works SEC(".maps");

/* Too big for the stack as well. */
static const struct work no_work;

/* The address of the task. In an interrupt that is anybody, who may be at work here too. */
static __always_inline __u64 work_key(bool interrupt)
{
	return interrupt ? bpf_get_smp_processor_id() : bpf_get_current_task();
}

static __always_inline struct work *work_begin(__u64 key)
{
	if (bpf_map_update_elem(&works, &key, &no_work, BPF_NOEXIST))
		return NULL;
	return bpf_map_lookup_elem(&works, &key);
}

static __always_inline void work_end(__u64 key)
{
	bpf_map_delete_elem(&works, &key);
}

static __always_inline void and(struct clauses *to, const struct clauses *with)
{
	to->word[0] &= with->word[0];
	to->word[1] &= with->word[1];
	to->word[2] &= with->word[2];
	to->word[3] &= with->word[3];
}

static __always_inline void or(struct clauses *to, const struct clauses *with)
{
	to->word[0] |= with->word[0];
	to->word[1] |= with->word[1];
	to->word[2] |= with->word[2];
	to->word[3] |= with->word[3];
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

/* The highest bit of each byte that is zero. */
static __always_inline __u64 nul_bytes(__u64 bytes)
{
	const __u64 low = 0x7f7f7f7f7f7f7f7fULL;

	return ~(((bytes & low) + low) | bytes | low);
}

/* Bit n of the answer: whether byte n is zero. */
static __always_inline __u64 zero_bytes(__u64 bytes)
{
	return ((nul_bytes(bytes) >> 7) * 0x0102040810204080ULL) >> 56;
}

/* Which tokens are this byte, eight of them at once. */
static __always_inline __u64 same_as(const __u64 *token, __u64 byte, __u32 n)
{
	return zero_bytes(token[n] ^ byte) << (n * 8);
}

static __always_inline bool is_exactly(const struct work *w, const struct pattern *p, __u32 len)
{
	const __u64 *text = (const __u64 *)w->text, *token = (const __u64 *)p->token;
	__u64 differ;
	__u32 i;

	if (len != p->len)
		return false;
	for (i = 0; i < NAME_LEN / 8; i++) {
		if (i * 8 >= len)
			break;
		differ = text[i] ^ token[i];
		/* The text may go on behind what is looked at. */
		if (len - i * 8 < 8)
			differ <<= 64 - (len - i * 8) * 8;
		if (differ)
			return false;
	}
	return true;
}

/* Goes on over the next bytes. */
__noinline int glob_piece(struct work *w, const struct pattern *p, __u32 at, __u32 len)
{
	__u64 state, same, byte;
	const __u64 *token;
	__u32 i;

	if (!w || !p)
		return 0;
	token = (const __u64 *)p->token;
	state = w->state;
	for (i = 0; i < PIECE; i++) {
		if (at + i >= len)
			break;
		byte = (__u8)w->text[(at + i) & (NAME_LEN - 1)] * 0x0101010101010101ULL;
		same = p->any;
		same |= same_as(token, byte, 0) | same_as(token, byte, 1);
		same |= same_as(token, byte, 2) | same_as(token, byte, 3);
		same |= same_as(token, byte, 4) | same_as(token, byte, 5);
		same |= same_as(token, byte, 6) | same_as(token, byte, 7);
		state = (state & same) << 1 | (state & p->stars);
	}
	w->state = state;
	return 0;
}

/* Whether the first `len` bytes of the text match. Every state that is possible goes on at once, so
 * there is nothing to go back to. */
__noinline int glob(struct work *w, const struct pattern *p, __u32 len)
{
	__u32 at;

	if (!w || !p)
		return 0;
	if (!p->automaton)
		return is_exactly(w, p, len);
	w->state = 1;
	for (at = 0; at < NAME_LEN; at += PIECE) {
		if (at >= len)
			break;
		glob_piece(w, p, at, len);
	}
	return w->state >> (p->len & 63) & 1;
}

/* Copies a part of the path into the text. */
__noinline int take(struct work *w, __u32 at, __u32 len)
{
	__u32 i;

	if (!w)
		return 0;
	for (i = 0; i < NAME_LEN; i++) {
		if (i >= len)
			break;
		w->text[i] = w->path[(at + i) & (PATH_LEN - 1)];
	}
	__builtin_memset(&w->text[len & (NAME_LEN - 1)], 0, 8);
	return 0;
}

/* One byte of a text that is shortened in its place. */
__noinline int unescape_byte(struct work *w, __u32 at)
{
	const char *from;

	if (!w)
		return 0;
	if (w->skip) {
		w->skip--;
		return 0;
	}
	/* There are zeros behind the text. */
	from = &w->text[at & (NAME_LEN - 1)];
	if (from[0] == '\\' && from[1] == 'x' && from[2] == '2' && from[3] == 'd') {
		w->text[w->to & (NAME_LEN - 1)] = '-';
		w->skip = 3;
	} else {
		w->text[w->to & (NAME_LEN - 1)] = from[0];
	}
	w->to++;
	return 0;
}

/* As systemd writes a machine's name: `\x2d` is `-`. Returns the text's new length. */
__noinline int unescape(struct work *w, __u32 len)
{
	__u32 at;

	if (!w)
		return 0;
	w->to = w->skip = 0;
	for (at = 0; at < NAME_LEN; at++) {
		if (at >= len)
			break;
		unescape_byte(w, at);
	}
	len = w->to & (NAME_LEN - 1);
	__builtin_memset(&w->text[len], 0, 8);
	return len;
}

#define STARTS_WITH(w, literal) reads(w, 0, literal, sizeof(literal) - 1)

/* Whether the text's first `len` bytes end so. */
#define ENDS_WITH(w, len, literal)                                                       \
	((len) >= sizeof(literal) - 1 &&                                                 \
	 reads(w, (len) - (sizeof(literal) - 1), literal, sizeof(literal) - 1))

static __always_inline bool reads(const struct work *w, __u32 at, const char *literal, __u32 len)
{
	__u32 i;

	for (i = 0; i < len; i++)
		if (w->text[(at + i) & (NAME_LEN - 1)] != literal[i])
			return false;
	return true;
}

/* 64 hexadecimal digits. */
__noinline int is_id(const struct work *w, __u32 at, __u32 len)
{
	__u32 i;
	__u8 c;

	if (!w || len != 64)
		return 0;
	for (i = 0; i < 64; i++) {
		c = w->text[(at + i) & (NAME_LEN - 1)];
		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')))
			return 0;
	}
	return 1;
}

static __always_inline void container(struct work *w, enum container kind, __u32 at, __u32 len)
{
	w->container = kind;
	w->container_at = at;
	w->container_len = len;
}

/* One part of the path: the last that is a unit is the unit, and so for the container. */
__noinline int component(struct work *w, __u32 at, __u32 len)
{
	__u32 scope, prefix = 0;

	if (!w || len == 0 || len >= NAME_LEN)
		return 0;
	take(w, at, len);
	scope = ENDS_WITH(w, len, ".scope");
	if (scope || ENDS_WITH(w, len, ".service") || ENDS_WITH(w, len, ".socket") ||
	    ENDS_WITH(w, len, ".mount") || ENDS_WITH(w, len, ".swap")) {
		w->unit_at = at;
		w->unit_len = len;
	}
	if (is_id(w, 0, len)) {
		container(w, CONTAINER_PLAIN, at, len);
		return 0;
	}
	if (STARTS_WITH(w, "lxc.payload.")) {
		container(w, CONTAINER_PLAIN, at + 12, len - 12);
		return 0;
	}
	if (!scope)
		return 0;
	if (STARTS_WITH(w, "machine-") && len >= 14) {
		container(w, CONTAINER_ESCAPED, at + 8, len - 14);
		return 0;
	}
	if (STARTS_WITH(w, "docker-") || STARTS_WITH(w, "libpod-"))
		prefix = 7;
	else if (STARTS_WITH(w, "cri-containerd-"))
		prefix = 15;
	else if (STARTS_WITH(w, "crio-"))
		prefix = 5;
	else if (STARTS_WITH(w, "nerdctl-"))
		prefix = 8;
	if (prefix && len > prefix + 6 && is_id(w, prefix, len - prefix - 6))
		container(w, CONTAINER_PLAIN, at + prefix, len - prefix - 6);
	return 0;
}

/* Goes on over the next bytes. */
__noinline int components_piece(struct work *w, __u32 from)
{
	__u32 i, at;

	if (!w)
		return 0;
	for (i = 0; i < PIECE; i++) {
		at = from + i;
		if (at > w->path_len)
			break;
		if (at < w->path_len && w->path[at & (PATH_LEN - 1)] != '/')
			continue;
		component(w, w->begun, at - w->begun);
		w->begun = at + 1;
	}
	return 0;
}

/* Finds unit and container. */
__noinline int components(struct work *w)
{
	__u32 from;

	if (!w)
		return 0;
	for (from = 0; from <= PATH_LEN; from += PIECE) {
		if (from > w->path_len)
			break;
		components_piece(w, from);
	}
	return 0;
}

/* Whether the path is this one or below it. */
__noinline int below(const struct work *w, const struct pattern *p)
{
	__u32 i;

	if (!w || !p)
		return 0;
	for (i = 0; i < PATTERN_MAX; i++) {
		if (i >= p->len)
			break;
		if (i >= w->path_len || (__u8)w->path[i] != p->token[i])
			return 0;
	}
	return i >= w->path_len || w->path[i] == '/';
}

/* Adds the clauses of the patterns of one kind that match the text. */
__noinline int match_text(const struct table *t, struct work *w, __u32 kind, __u32 len,
				 struct clauses *c)
{
	const struct pattern *p;
	__u32 i, shorter = 0;

	if (!t || !w || !c)
		return 0;
	/* Units are named without `.service` too, containers by the first twelve characters. */
	if (kind == PLACE_UNIT && ENDS_WITH(w, len, ".service"))
		shorter = len - 8;
	/* Not in the middle of a character. */
	if (kind == PLACE_CONTAINER && len > 12 && (w->text[12] & 0xc0) != 0x80)
		shorter = 12;
	for (i = 0; i < PLACES_MAX; i++) {
		if (i >= t->places)
			break;
		p = &t->place[i];
		if (p->kind != kind)
			continue;
		if (glob(w, p, len) || (shorter && glob(w, p, shorter)))
			or(c, &t->of_place[i]);
	}
	return 0;
}

/* The clauses whose conditions on the place the workspace's path satisfies. */
__noinline int clauses_of_path(const struct table *t, struct work *w, struct clauses *c)
{
	struct clauses of_kind;
	__u32 i, len;

	if (!t || !w || !c)
		return 0;
	components(w);

	*c = t->placeless[PLACE_UNIT];
	if (w->unit_len) {
		take(w, w->unit_at, w->unit_len);
		match_text(t, w, PLACE_UNIT, w->unit_len, c);
	}

	of_kind = t->placeless[PLACE_CONTAINER];
	if (w->container) {
		len = w->container_len;
		take(w, w->container_at, len);
		if (w->container == CONTAINER_ESCAPED)
			len = unescape(w, len);
		match_text(t, w, PLACE_CONTAINER, len, &of_kind);
	}
	and(c, &of_kind);

	of_kind = t->placeless[PLACE_CGROUP];
	for (i = 0; i < PLACES_MAX; i++) {
		if (i >= t->places)
			break;
		if (t->place[i].kind == PLACE_CGROUP && below(w, &t->place[i]))
			or(&of_kind, &t->of_place[i]);
	}
	and(c, &of_kind);
	return 0;
}

static __always_inline __u64 parent_of(__u64 node)
{
	const struct kernfs_node___parent *older = (const void *)node;
	const struct kernfs_node___rcu *newer = (const void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return (__u64)BPF_CORE_READ(newer, __parent);
	return (__u64)BPF_CORE_READ(older, parent);
}

/* Writes a cgroup's path into the workspace; not 0 when it does not fit. */
__noinline int path_of(struct work *w, __u64 node)
{
	__u32 depth = 0, len = 0, at;
	__u64 parent = node;
	long got;
	int i;

	if (!w)
		return -1;
	/* The root has no name. */
	for (i = 0; i < DEPTH; i++) {
		parent = parent_of(node);
		if (!parent)
			break;
		w->node[i] = node;
		node = parent;
		depth++;
	}
	if (parent && parent_of(node))
		return -1;
	for (i = DEPTH - 1; i >= 0; i--) {
		if (i >= depth)
			continue;
		if (len >= PATH_LEN - 1)
			return -1;
		w->path[len & (PATH_LEN - 1)] = '/';
		at = ++len;
		/* The compiler knows that the mask changes nothing, the verifier does not. */
		asm volatile("" : "+r"(at));
		node = w->node[i];
		got = bpf_probe_read_kernel_str(&w->path[at & (PATH_LEN - 1)], NAME_LEN,
						BPF_CORE_READ((const struct kernfs_node *)node,
							      name));
		if (got <= 1)
			return -1;
		len += got - 1;
	}
	if (len > PATH_LEN)
		return -1;
	if (len == 0) {
		w->path[0] = '/';
		len = 1;
	}
	w->path_len = len;
	return 0;
}

#endif
