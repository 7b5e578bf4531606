/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs ask for later, where the rule has a say in it. */
#ifndef SOCKPULSE_HOLD_H
#define SOCKPULSE_HOLD_H

#include "option.h"
#include "settle.h"

/* The rule's value for one of the options in seconds or a count; 0: it does not ask. */
static __always_inline __s32 asked_of(const struct rule *r, int option)
{
	if (option == TCP_KEEPIDLE)
		return r->idle;
	if (option == TCP_KEEPINTVL)
		return r->interval;
	return r->probes;
}

static __always_inline __s32 sum_of(const struct held *h)
{
	return automatic(h->idle ? h->idle : h->idle_default,
			 h->interval ? h->interval : h->interval_default,
			 h->probes ? h->probes : h->probes_default);
}

static __always_inline __s32 held_user_timeout(const struct rule *r, const struct held *h,
					       __s32 value)
{
	__s32 asked = r->flags & RULE_AUTO ? sum_of(h) : (__s32)r->user_timeout;

	if (!(r->flags & RULE_USER_TIMEOUT) || asked < 0)
		return value;
	if (r->mode == MODE_OVERRIDE)
		return asked;
	return asked && (!value || value > asked) ? asked : value;
}

/* The value that the socket is to get instead of the program's. */
static __always_inline __s32 held_value(const struct rule *r, const struct held *h, int level,
					int option, __s32 value)
{
	__s32 asked;

	if (r->mode == MODE_FILL)
		return value;
	if (level == SOL_SOCKET)
		return r->mode == MODE_OFF ? 0 : value ? value : 1;
	if (r->mode == MODE_OFF)
		return value;
	if (option == TCP_USER_TIMEOUT)
		return held_user_timeout(r, h, value);
	asked = asked_of(r, option);
	if (!asked || (r->mode == MODE_TIGHTEN && value <= asked))
		return value;
	return asked;
}

/* What a user timeout of ours has to become once the option is set; -1: what it is. An automatic one
 * goes with the values that it follows from; one that was asked for by its length is lifted where
 * the program's own values need longer. */
static __always_inline __s32 following(const struct rule *r, const struct held *h, int option,
				       __s32 value)
{
	__s32 before = sum_of(h), after;
	struct held then = *h;

	if (!(r->flags & RULE_USER_TIMEOUT) || !h->user_timeout)
		return -1;
	if (option == TCP_KEEPIDLE)
		then.idle = value;
	else if (option == TCP_KEEPINTVL)
		then.interval = value;
	else
		then.probes = value;
	after = sum_of(&then);
	if (r->flags & RULE_AUTO) {
		if (h->user_timeout != before || after == before)
			return -1;
		return after < 0 ? 0 : after;
	}
	if (r->mode != MODE_FILL || h->user_timeout != r->user_timeout)
		return -1;
	return after < 0 || after > h->user_timeout ? 0 : -1;
}

#endif
