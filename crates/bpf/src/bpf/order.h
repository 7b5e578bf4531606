/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is to be done with one socket, and what came of it. The twin is order.rs; both sides assert
 * sizes and offsets at compile time.
 */
#ifndef SOCKPULSE_ORDER_H
#define SOCKPULSE_ORDER_H

#include "kernel.h"
#include "step.h"

struct order {
	/* In force when the step was planned: seconds, and milliseconds; below zero: never. */
	__u32 on;
	__s32 idle;
	__s32 interval;
	__s32 probes;
	__u32 user_timeout;
	__u32 silence;		/* milliseconds; the longest with which a user timeout may be set */
	__u32 number;		/* by which it is answered, once */
	struct step step;
};

/* In the place of the number. */
#define ANSWERED 0xffffffff

enum verdict {
	VERDICT_SET = 0,	/* read back */
	VERDICT_CHANGED = 1,	/* it is not as it was when the step was planned, or is being closed */
	VERDICT_PROBING = 2,	/* a probe is unanswered, or data is being retransmitted */
	VERDICT_SILENT = 3,	/* silent for too long for the user timeout */
	VERDICT_SUBFLOW = 4,	/* of Multipath TCP */
	VERDICT_FAILED = 5,	/* the kernel refused an option, and nothing is set */
	VERDICT_HALF_MADE = 6,	/* the same, and others are set */
};

struct answer {
	__u32 number;
	__u16 verdict;		/* enum verdict */
	__u16 errno;		/* of the option that was refused */
};

_Static_assert(__builtin_offsetof(struct order, user_timeout) == 16, "offset of user_timeout");
_Static_assert(__builtin_offsetof(struct order, number) == 24, "offset of number");
_Static_assert(__builtin_offsetof(struct order, step) == 28, "offset of step");
_Static_assert(__builtin_offsetof(struct step, user_timeout) == 16, "offset of step.user_timeout");
_Static_assert(__builtin_offsetof(struct answer, errno) == 6, "offset of errno");
_Static_assert(sizeof(struct order) == 48, "size of struct order");
_Static_assert(sizeof(struct answer) == 8, "size of struct answer");

#endif
