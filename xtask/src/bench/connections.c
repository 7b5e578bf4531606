/*
 * connections COUNT
 *
 * Opens COUNT connections to itself over loopback, one after the other, each made, accepted and
 * closed by a reset (so that no TIME-WAIT is left), and prints the nanoseconds that one took on
 * average. Then the same for a system call that has nothing to do with sockets.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

static int failed(const char *what)
{
	perror(what);
	return 1;
}

int main(int count, char **words)
{
	int wanted = count > 1 ? atoi(words[1]) : 10000;
	struct sockaddr_in end = { .sin_family = AF_INET };
	struct linger reset = { .l_onoff = 1 };
	socklen_t length = sizeof end;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	end.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (void *)&end, sizeof end) != 0 || listen(listener, 64) != 0)
		return failed("listen");
	getsockname(listener, (void *)&end, &length);

	double start = now();
	for (int at = 0; at < wanted; at++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(client, (void *)&end, sizeof end) != 0)
			return failed("connect");
		int server = accept(listener, NULL, NULL);
		if (server < 0)
			return failed("accept");
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(client);
		close(server);
	}
	double connected = now();
	for (int at = 0; at < wanted; at++)
		syscall(SYS_getppid);
	double called = now();
	printf("connection %.0f\nother %.0f\n", (connected - start) / wanted, (called - connected) / wanted);
	return 0;
}
