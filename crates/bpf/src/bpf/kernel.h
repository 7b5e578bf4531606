/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's types, cut down to the fields in use. Offsets are filled in when the programs are
 * loaded (CO-RE), so order and gaps mean nothing here. A name with three underscores is a flavour:
 * libbpf ignores what follows them.
 */
#ifndef SOCKPULSE_KERNEL_H
#define SOCKPULSE_KERNEL_H

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef signed int __s32;
typedef unsigned int __u32;
typedef signed long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

#define NULL ((void *)0)

/* include/linux/socket.h, include/uapi/linux/in.h, include/linux/net.h */
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define SOCK_STREAM 1

/* include/net/sock.h: enum sock_flags */
#define SOCK_DEAD 0
#define SOCK_KEEPOPEN 3

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12

/* include/linux/pid.h: enum pid_type */
#define PIDTYPE_TGID 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct timer_list {
	struct hlist_node entry;
	unsigned long expires;
	void (*function)(struct timer_list *);
};

struct ns_common {
	unsigned int inum;
};

/* Keepalive's defaults; times in jiffies. */
struct netns_ipv4 {
	int sysctl_tcp_keepalive_time;
	int sysctl_tcp_keepalive_intvl;
	__u8 sysctl_tcp_keepalive_probes;
};

struct net {
	struct ns_common ns;
	struct netns_ipv4 ipv4;
};

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	struct {
		struct net *net;
	} skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct {
		__s64 counter;
	} skc_cookie;
	unsigned long skc_flags;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

/* Until 6.14. */
struct kernfs_node___parent {
	struct kernfs_node *parent;
};

/* Since 6.15. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct inode {
	unsigned long i_ino;
};

struct socket_alloc {
	struct socket {
		short type;
		struct sock *sk;
	} socket;
	struct inode vfs_inode;
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	struct timer_list sk_timer;
	__u16 sk_protocol;
	int sk_err;
	int sk_err_soft;
	__u32 sk_mark;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	struct {
		__u32 val;
	} sk_uid;
	/* A pointer since 5.15; one of several things by context before. */
	struct {
		struct cgroup *cgroup;
	} sk_cgrp_data;
};

/* Since 6.18 the socket knows its inode number. */
struct sock___ino {
	unsigned long sk_ino;
};

/* Newer kernels keep the retransmission timer where sk_timer was. */
struct sock___retransmit {
	struct timer_list tcp_retransmit_timer;
};

struct ipv6_pinfo {
	__s16 hop_limit;
	__u8 tclass;
};

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	__be16 inet_sport;
	__s16 uc_ttl;
	__u8 tos;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_rto;
	__u32 icsk_user_timeout;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
	struct {
		__u32 lrcvtime;
	} icsk_ack;
	struct timer_list icsk_retransmit_timer;
};

/* Until 6.17: when the retransmission is due; the timer itself may fire earlier and look. */
struct inet_connection_sock___timeout {
	unsigned long icsk_timeout;
};

/* Since 5.11: when a closed window was probed first. */
struct inet_connection_sock___probed {
	__u32 icsk_probes_tstamp;
};

/* Newer kernels: keepalive has a timer of its own. */
struct inet_connection_sock___keepalive {
	struct timer_list icsk_keepalive_timer;
};

struct tcp_options_received {
	__u32 ts_recent;
	__u16 tstamp_ok : 1;
	__u16 snd_wscale : 4;
	__u16 rcv_wscale : 4;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 rcv_wup;
	__u32 rcv_wnd;
	__u32 write_seq;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 total_retrans;
	__u32 srtt_us;
	__u32 rttvar_us;
	__u32 tsoffset;
	struct tcp_options_received rx_opt;
	__u32 lsndtime;
	__u32 rcv_tstamp;
	__u32 packets_out;
	unsigned int keepalive_time;
	unsigned int keepalive_intvl;
	__u8 keepalive_probes;
};

/* With CONFIG_MPTCP. */
struct tcp_sock___mptcp {
	bool is_mptcp;
};

/* Since 6.7, where the route asks for it: timestamps in microseconds. */
struct tcp_sock___usec {
	__u8 tcp_usec_ts : 1;
};

/* With CONFIG_TCP_MD5SIG. */
struct tcp_sock___md5 {
	void *md5sig_info;
};

/* Since 6.7, with CONFIG_TCP_AO. */
struct tcp_sock___ao {
	void *ao_info;
};

struct mptcp_sock {
	struct sock *first;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	volatile unsigned char tw_substate;
	struct timer_list tw_timer;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
};

struct request_sock {
	struct sock_common __req_common;
	__u8 num_retrans;
	struct timer_list rsk_timer;
};

struct inet_request_sock {
	struct request_sock req;
};

struct tcp_request_sock {
	struct inet_request_sock req;
};

/* Before 6.13: the number of references. */
struct file___count {
	struct {
		__s64 counter;
	} f_count;
};

/* Since 6.13: the number of references, less one. */
struct file___ref {
	struct {
		struct {
			__s64 counter;
		} refcnt;
	} f_ref;
};

struct file {
	struct inode *f_inode;
};

struct pid_namespace;

/* Whole, as the kernel has it: an array of these is indexed. */
struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct signal_struct {
	int nr_threads;
	struct pid *pids[4];
};

struct files_struct {
	struct {
		int counter;
	} count;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	int tgid;
	struct css_set *cgroups;
	struct task_struct *group_leader;
	struct files_struct *files;
	struct pid *thread_pid;
	struct signal_struct *signal;
	char comm[16];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop

#endif
