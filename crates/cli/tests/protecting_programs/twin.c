/*
 * A program that knows nothing of keepalive, unless it is told, and is linked statically, so that nothing can be
 * loaded in front of its libc.
 *
 *   twin listen ADDRESS PORT [CHILDREN]         accepts and holds what comes
 *   twin backlog ADDRESS PORT                   listens; accepts after a line on stdin
 *   twin connect ADDRESS PORT COUNT [CHILDREN]  holds COUNT connections
 *   twin asking ADDRESS PORT COUNT              the same, and asks for keepalive
 *   twin churn ADDRESS PORT                     connects as fast as it can; holds every tenth of the
 *                                               last ten thousand, closes the others at once
 *
 * CHILDREN processes are forked that hold the first connection too. It says "ready" when it listens
 * or has connected, and ends with its stdin.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

static struct sockaddr_storage address;
static socklen_t length;

static void failed(const char *what)
{
	perror(what);
	exit(1);
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void parse(const char *text, const char *port)
{
	struct sockaddr_in *four = (void *)&address;
	struct sockaddr_in6 *six = (void *)&address;

	if (strchr(text, ':')) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(atoi(port));
		length = sizeof(*six);
		if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
			failed(text);
	} else {
		four->sin_family = AF_INET;
		four->sin_port = htons(atoi(port));
		length = sizeof(*four);
		if (inet_pton(AF_INET, text, &four->sin_addr) != 1)
			failed(text);
	}
}

static int stream(void)
{
	int fd = socket(address.ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		failed("socket");
	return fd;
}

static void share(int children)
{
	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid < 0)
			failed("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
}

static int listener(void)
{
	int on = 1;
	int fd = stream();

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, length))
		failed("bind");
	if (listen(fd, 4096))
		failed("listen");
	return fd;
}

/* Holds the last of what it accepts until its stdin ends. */
static void serve(int fd, int children)
{
	static int held[19500];
	int accepted;
	unsigned long count = 0;
	struct pollfd polled[] = { { .fd = fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
	char byte;

	for (;;) {
		if (poll(polled, 2, -1) < 0)
			failed("poll");
		if (polled[1].revents && read(0, &byte, 1) <= 0)
			return;
		if (!polled[0].revents)
			continue;
		accepted = accept(fd, NULL, NULL);
		if (accepted < 0)
			failed("accept");
		if (count >= 19500)
			close(held[count % 19500]);
		held[count++ % 19500] = accepted;
		if (children) {
			share(children);
			children = 0;
		}
	}
}

static int connection(void)
{
	int fd = stream();

	if (connect(fd, (struct sockaddr *)&address, length))
		failed("connect");
	return fd;
}

static void churn(void)
{
	struct linger at_once = { .l_onoff = 1 };
	struct pollfd stdin_ended = { .fd = 0, .events = POLLIN };
	int held[1000];

	for (unsigned long i = 0;; i++) {
		int *slot = &held[i / 10 % 1000];
		int fd = connection();

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		if (i % 10) {
			close(fd);
		} else {
			if (i >= 10000)
				close(*slot);
			*slot = fd;
		}
		if (i == 1000)
			ready();
		if (poll(&stdin_ended, 1, 0))
			return;
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	char byte;

	if (argc < 4)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	parse(argv[2], argv[3]);
	if (!strcmp(argv[1], "listen")) {
		int fd = listener();

		ready();
		serve(fd, argc > 4 ? atoi(argv[4]) : 0);
	} else if (!strcmp(argv[1], "backlog")) {
		int fd = listener();

		ready();
		if (read(0, &byte, 1) == 1)
			serve(fd, 0);
	} else if (argc > 4 && (!strcmp(argv[1], "connect") || !strcmp(argv[1], "asking"))) {
		int asks = argv[1][0] == 'a';

		for (int count = atoi(argv[4]); count > 0; count--) {
			int fd = connection();

			if (asks)
				setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &asks, sizeof(asks));
		}
		share(argc > 5 ? atoi(argv[5]) : 0);
		ready();
		while (read(0, &byte, 1) > 0)
			;
	} else if (!strcmp(argv[1], "churn")) {
		churn();
	} else {
		return 2;
	}
	return 0;
}
