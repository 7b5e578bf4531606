/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Something that happened to a connection. The twin is `Raw` in watch/raw.rs; both sides assert size
 * and offsets at compile time.
 */
#ifndef SOCKPULSE_HAPPENING_H
#define SOCKPULSE_HAPPENING_H

#include "record.h"

enum what {
	WHAT_OPENED = 1,
	WHAT_PROBING = 2,
	WHAT_RECOVERED = 3,
	WHAT_DIED = 4,
	WHAT_CLOSED = 5,
	WHAT_CHANGED = 6,
};

/* How the program is known. */
enum known {
	KNOWN_NOT = 0,
	KNOWN_CONNECTED = 1,	/* it called connect(2) */
	KNOWN_LISTENED = 2,	/* it called listen(2) on the socket that accepted */
};

struct happening {
	struct record record;
	__u64 at;		/* CLOCK_BOOTTIME, nanoseconds */
	__u64 age;		/* jiffies since it was opened, and one; 0: not known */
	__u64 owner_comm[2];
	__u64 actor_comm[2];	/* who destroyed it, or set the option; 0: nobody */
	__u32 owner_pid;
	__u32 actor_pid;
	__s32 idle_default;	/* jiffies */
	__s32 interval_default;	/* jiffies */
	__s32 error;		/* sk_err */
	__s32 soft_error;	/* sk_err_soft */
	__s32 value;		/* of the option */
	__u32 silence;		/* that ended; jiffies */
	__u32 unsent;		/* bytes that waited to be sent at the end */
	__u32 window_probed;	/* for so long; jiffies */
	__u8 level;
	__u8 option;
	__u8 unanswered;	/* probes, when the peer was heard again */
	__u8 accepted;		/* the peer asked for the connection */
	__u8 probes_default;
	__u8 what;		/* enum what */
	__u8 known;		/* enum known */
	__u8 reset;		/* a RST ended it */
};

#define AT(field, at) \
	_Static_assert(__builtin_offsetof(struct happening, field) == (at), "offset of " #field)

AT(at, 168);
AT(owner_comm, 184);
AT(owner_pid, 216);
AT(error, 232);
AT(unsent, 248);
AT(level, 256);
AT(probes_default, 260);
AT(what, 261);
_Static_assert(sizeof(struct happening) == 264, "size of struct happening");

#undef AT

#endif
