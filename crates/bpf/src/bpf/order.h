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
	__u64 cookie;		/* of the socket; 0: nothing is in this place */
	/* In force when the step was planned: seconds, and milliseconds; below zero: never. */
	__u32 on;
	__s32 idle;
	__s32 interval;
	__s32 probes;
	__u32 user_timeout;
	__u32 silence;		/* milliseconds; the longest with which a user timeout may be set */
	__u32 number;		/* by which it is answered, once */
	struct step step;
	__u64 unused;		/* so that one fills a line of the processor's cache */
};

/* How many places are looked at for an order, from that of its cookie on. */
#define ORDER_TRIES 512

/* Places that lie together, for cookies that were given out one after the other. */
#define ORDER_GROUP 8

/*
 * The first of them. Cookies are given out in runs, several at a time: taken as they are, one run would
 * begin in the middle of another.
 */
static __always_inline __u32 order_place(__u64 cookie, __u32 places)
{
	__u32 mixed = (cookie / ORDER_GROUP * 0x9e3779b97f4a7c15ULL) >> 32;
	__u64 group = ((__u64)mixed * (places / ORDER_GROUP)) >> 32;

	return group * ORDER_GROUP + cookie % ORDER_GROUP;
}

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

_Static_assert(__builtin_offsetof(struct order, user_timeout) == 24, "offset of user_timeout");
_Static_assert(__builtin_offsetof(struct order, number) == 32, "offset of number");
_Static_assert(__builtin_offsetof(struct order, step) == 36, "offset of step");
_Static_assert(__builtin_offsetof(struct step, user_timeout) == 16, "offset of step.user_timeout");
_Static_assert(__builtin_offsetof(struct answer, errno) == 6, "offset of errno");
_Static_assert(sizeof(struct order) == 64, "size of struct order");
_Static_assert(sizeof(struct answer) == 8, "size of struct answer");

#endif
