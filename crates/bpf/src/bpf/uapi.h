/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel promises to programs on a cgroup (include/uapi/linux/bpf.h), and the socket options
 * in use (uapi socket.h, tcp.h). */
#ifndef SOCKPULSE_UAPI_H
#define SOCKPULSE_UAPI_H

#include "kernel.h"

#define false 0
#define true 1

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_MAP_TYPE_SK_STORAGE 24
#define BPF_MAP_TYPE_RINGBUF 27

#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_F_NO_PREALLOC (1 << 0)
#define BPF_F_CLONE (1 << 9)
#define BPF_F_MMAPABLE (1 << 10)
#define BPF_F_CURRENT_NETNS (-1)
#define BPF_SK_STORAGE_GET_F_CREATE 1
#define BPF_RB_NO_WAKEUP (1 << 0)
#define BPF_RB_FORCE_WAKEUP (1 << 1)

#define SOL_SOCKET 1
#define SO_KEEPALIVE 9
#define SOL_TCP 6
#define TCP_KEEPIDLE 4
#define TCP_KEEPINTVL 5
#define TCP_KEEPCNT 6
#define TCP_USER_TIMEOUT 18

#define BPF_SOCK_OPS_TCP_CONNECT_CB 3
#define BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB 5
#define BPF_SOCK_OPS_TCP_LISTEN_CB 11

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
};

struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
};

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;		/* network order */
	__u32 user_ip6[4];	/* network order */
	__u32 user_port;	/* network order */
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	struct bpf_sock *sk __attribute__((aligned(8)));
};

struct bpf_sock_ops {
	__u32 op;
	__u32 args[4];
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 is_fullsock;
	/* snd_cwnd to sk_txhash */
	__u32 figures[23];
	__u64 bytes_received;
	__u64 bytes_acked;
	struct bpf_sock *sk;
};

struct bpf_sockopt {
	struct bpf_sock *sk;
	void *optval __attribute__((aligned(8)));
	void *optval_end __attribute__((aligned(8)));
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

_Static_assert(__builtin_offsetof(struct bpf_sock_addr, sk) == 64, "offset of sk");
_Static_assert(__builtin_offsetof(struct bpf_sock_ops, sk) == 184, "offset of sk");

#endif
