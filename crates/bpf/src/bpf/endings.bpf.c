// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Notes by which error connections end that are watched. */
#include "uapi.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct ending {
	__s32 error;		/* errno; 0: none */
	__u32 ended;
};

/* By cookie. How many it takes is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct ending);
} endings SEC(".maps");

/* (const struct sock *sk, int old, int new). inet_sk_state_store() and inet_sk_set_state() come by here
 * after the error was set. */
SEC("tp_btf/inet_sock_set_state")
int note_ending(__u64 *ctx)
{
	const struct sock *sk = (const void *)ctx[0];
	struct ending *ending;
	__u64 cookie;

	if ((int)ctx[2] != TCP_CLOSE)
		return 0;
	cookie = sk->__sk_common.skc_cookie.counter;
	/* Nobody ever asked who this is. */
	if (!cookie)
		return 0;
	ending = bpf_map_lookup_elem(&endings, &cookie);
	if (!ending)
		return 0;
	ending->error = sk->sk_err;
	ending->ended = 1;
	return 0;
}
