/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a rule changes on a socket that has no past: the twin of sockpulse_core::protect::decide()
 * for connections that have just begun. */
#ifndef SOCKPULSE_SETTLE_H
#define SOCKPULSE_SETTLE_H

#include "uapi.h"
#include "socket.h"
#include "step.h"
#include "table.h"

#include <bpf/bpf_helpers.h>

#define INT_MAX 0x7fffffff

enum outcome {
	OUTCOME_RIGHT,	 /* nothing is to be set */
	OUTCOME_SET,
	OUTCOME_REFUSED, /* the kernel did not take an option, or it would end the connection */
	OUTCOME_LOCAL,	 /* left out: both ends are here */
	OUTCOME_HELD,	 /* a setsockopt call was rewritten */
	OUTCOMES,
};

/* Idle + interval x probes in milliseconds; -1 when the option does not take that much, or no probe
 * is ever sent. */
static __always_inline __s32 automatic(__s32 idle, __s32 interval, __s32 probes)
{
	__u64 sum;

	if (idle < 0 || interval < 0 || probes < 0)
		return -1;
	sum = ((__u64)(__u32)idle + (__u64)(__u32)interval * (__u32)probes) * 1000;
	return sum > INT_MAX ? -1 : sum;
}

/* Below zero a default means never. */
static __always_inline bool slower(__s32 value, __s32 asked)
{
	return value < 0 || value > asked;
}

/* Whether a rule's value goes onto the socket, of which `own` is zero where it follows the default.
 * With keepalive off, a value that equals the default asks for nothing. */
static __always_inline bool wanted(__u8 mode, __u32 asked, __u32 own, __s32 by_default)
{
	if (!asked)
		return false;
	if (mode == MODE_FILL)
		return !own || (__s32)own == by_default;
	if (mode == MODE_TIGHTEN)
		return slower(own ? (__s32)own : by_default, asked);
	return own != asked;
}

static __always_inline bool user_timeout_wanted(__u8 mode, __u32 asked, __u32 has)
{
	if (mode == MODE_FILL)
		return asked && !has;
	if (mode == MODE_TIGHTEN)
		return asked && (!has || has > asked);
	return asked != has;
}

/* Whether anything is to be set; -1: it must not be. */
__noinline int plan(const struct rule *r, const struct held *h, struct step *s)
{
	__s32 idle, interval, probes, timeout;

	if (!r || !h || !s)
		return 0;
	s->keepalive = s->idle = s->interval = s->probes = s->user_timeout = -1;
	if (r->mode == MODE_OFF) {
		if (!h->on)
			return 0;
		s->keepalive = 0;
		return 1;
	}
	if (r->mode == MODE_FILL && h->on)
		return 0;

	idle = h->idle ? h->idle : h->idle_default;
	interval = h->interval ? h->interval : h->interval_default;
	probes = h->probes ? h->probes : h->probes_default;
	if (wanted(r->mode, r->idle, h->idle, h->idle_default))
		idle = s->idle = r->idle;
	if (wanted(r->mode, r->interval, h->interval, h->interval_default))
		interval = s->interval = r->interval;
	if (wanted(r->mode, r->probes, h->probes, h->probes_default))
		probes = s->probes = r->probes;
	if (!h->on)
		s->keepalive = 1;
	if (r->flags & RULE_USER_TIMEOUT) {
		timeout = r->flags & RULE_AUTO ? automatic(idle, interval, probes) :
						 (__s32)r->user_timeout;
		if (timeout >= 0 && user_timeout_wanted(r->mode, timeout, h->user_timeout))
			s->user_timeout = timeout;
	}
	if (s->keepalive < 0 && s->idle < 0 && s->interval < 0 && s->probes < 0 &&
	    s->user_timeout < 0)
		return 0;
	/* By defaults that end connections whose peers live, none is protected. */
	if (!interval ||
	    (!probes && !(s->user_timeout < 0 ? h->user_timeout : s->user_timeout)))
		return -1;
	return 1;
}

/* SO_KEEPALIVE comes last: it arms the timer with the idle time that is there. */
static __always_inline long perform(void *ctx, const struct step *s)
{
	if (set(ctx, SOL_TCP, TCP_KEEPINTVL, s->interval) ||
	    set(ctx, SOL_TCP, TCP_KEEPCNT, s->probes) ||
	    set(ctx, SOL_TCP, TCP_KEEPIDLE, s->idle) ||
	    set(ctx, SOL_TCP, TCP_USER_TIMEOUT, s->user_timeout))
		return -1;
	return set(ctx, SOL_SOCKET, SO_KEEPALIVE, s->keepalive);
}

static __always_inline enum outcome settle(void *ctx, const struct rule *r, const struct held *h)
{
	struct step s;
	int planned = plan(r, h, &s);

	if (!planned)
		return OUTCOME_RIGHT;
	if (planned < 0)
		return OUTCOME_REFUSED;
	return perform(ctx, &s) ? OUTCOME_REFUSED : OUTCOME_SET;
}

#endif
