// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks what the other programs walk and writes nothing: what a reading costs at the least. */
#include "kernel.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Sockets seen since loading. */
__u64 counted = 0;

SEC("iter/task_file")
int count_task_file(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;

	if (!file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket || socket->type != SOCK_STREAM)
		return 0;
	sk = socket->sk;
	if (sk && bpf_skc_to_tcp_sock(sk))
		__sync_fetch_and_add(&counted, 1);
	return 0;
}

SEC("iter/tcp")
int count_iter_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;

	if (skc)
		__sync_fetch_and_add(&counted, 1);
	return 0;
}
