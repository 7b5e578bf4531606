/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is to be set on one socket. */
#ifndef SOCKPULSE_STEP_H
#define SOCKPULSE_STEP_H

#include "uapi.h"

#include <bpf/bpf_helpers.h>

/* -1: stays. */
struct step {
	__s32 keepalive;
	__s32 idle;
	__s32 interval;
	__s32 probes;
	__s32 user_timeout;
};

static __always_inline long set(void *ctx, int level, int option, __s32 value)
{
	if (value < 0)
		return 0;
	return bpf_setsockopt(ctx, level, option, &value, sizeof(value));
}

#endif
