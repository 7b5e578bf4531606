/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options that decide when a dead peer is noticed. */
#ifndef SOCKPULSE_OPTION_H
#define SOCKPULSE_OPTION_H

#include "uapi.h"

#include <bpf/bpf_helpers.h>

/* The largest values that the options take. */
#define MAX_TCP_KEEPIDLE 32767
#define MAX_TCP_KEEPINTVL 32767
#define MAX_TCP_KEEPCNT 127

static __always_inline bool is_held(int level, int option)
{
	if (level == SOL_SOCKET)
		return option == SO_KEEPALIVE;
	return level == SOL_TCP && (option == TCP_KEEPIDLE || option == TCP_KEEPINTVL ||
				    option == TCP_KEEPCNT || option == TCP_USER_TIMEOUT);
}

/* What the kernel would refuse is left to it: the program learns of its mistake. */
static __always_inline bool is_valid(int level, int option, __s32 value)
{
	if (level == SOL_SOCKET)
		return true;
	if (option == TCP_KEEPIDLE)
		return value >= 1 && value <= MAX_TCP_KEEPIDLE;
	if (option == TCP_KEEPINTVL)
		return value >= 1 && value <= MAX_TCP_KEEPINTVL;
	if (option == TCP_KEEPCNT)
		return value >= 1 && value <= MAX_TCP_KEEPCNT;
	return value >= 0;
}

#endif
