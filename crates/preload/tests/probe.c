/*
 * A program that does what its arguments say, one after the other, and prints what it sees:
 *
 *   tcp4 tcp6 mptcp udp unix   make a socket, the current one from then on
 *   set NAME VALUE             setsockopt; says so when refused
 *   show                       the options of the current socket
 *   listen                     bind to loopback, listen
 *   accepted                   listen, connect a second socket, accept: that one is current
 *   connect PORT | refused     to a port of loopback; to one where nobody listens
 *   again                      listen, connect a second socket, which is current from then on; switch
 *                              its keepalive off and call connect again, to learn what became of it
 *   bad                        connect and setsockopt with pointers to nowhere
 *   cancel                     cancel a thread that waits in accept
 *   vfork FILE                 make a socket and execute FILE show in a vfork child
 *   fd N                       the current socket is this descriptor
 *   env                        wipe the environment
 *   received                   listen, fork; the child executes this program with the connection as
 *                              descriptor 0 and the listener passed as systemd does, to show both
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int fd = -1;
static int family = AF_INET;

static int get(int level, int name)
{
	int value = -1;
	socklen_t length = sizeof value;
	return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

static void show(void)
{
	printf("on=%d idle=%d interval=%d probes=%d user-timeout=%d\n",
	       get(SOL_SOCKET, SO_KEEPALIVE), get(IPPROTO_TCP, TCP_KEEPIDLE),
	       get(IPPROTO_TCP, TCP_KEEPINTVL), get(IPPROTO_TCP, TCP_KEEPCNT),
	       get(IPPROTO_TCP, TCP_USER_TIMEOUT));
	fflush(stdout);
}

static void make(int wanted, int kind, int protocol)
{
	family = wanted;
	errno = 4242;
	fd = socket(family, kind, protocol);
	if (fd < 0 || errno != 4242)
		printf("socket: %s\n", strerror(errno));
}

static void set(const char *name, int value)
{
	int level = strcmp(name, "on") == 0 ? SOL_SOCKET : IPPROTO_TCP;
	int option = strcmp(name, "on") == 0         ? SO_KEEPALIVE
		     : strcmp(name, "idle") == 0     ? TCP_KEEPIDLE
		     : strcmp(name, "interval") == 0 ? TCP_KEEPINTVL
		     : strcmp(name, "probes") == 0   ? TCP_KEEPCNT
						     : TCP_USER_TIMEOUT;
	errno = 4242;
	if (setsockopt(fd, level, option, &value, sizeof value) != 0 || errno != 4242)
		printf("set %s: %s\n", name, strerror(errno));
}

static socklen_t loopback(struct sockaddr_storage *end, int port)
{
	memset(end, 0, sizeof *end);
	end->ss_family = family;
	if (family == AF_INET6) {
		struct sockaddr_in6 *six = (void *)end;
		six->sin6_addr = in6addr_loopback;
		six->sin6_port = htons(port);
		return sizeof *six;
	}
	struct sockaddr_in *four = (void *)end;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	four->sin_port = htons(port);
	return sizeof *four;
}

static void wait_for_peers(void)
{
	struct sockaddr_storage end;
	socklen_t length = loopback(&end, 0);
	errno = 4242;
	if (bind(fd, (void *)&end, length) != 0 || listen(fd, 9) != 0 || errno != 4242)
		printf("listen: %s\n", strerror(errno));
}

static void accepted(void)
{
	int listener = fd;
	struct sockaddr_storage end;
	socklen_t length = sizeof end;
	wait_for_peers();
	getsockname(listener, (void *)&end, &length);
	int client = socket(family, SOCK_STREAM, 0);
	errno = 4242;
	if (connect(client, (void *)&end, length) != 0 || errno != 4242)
		printf("connect: %s\n", strerror(errno));
	errno = 4242;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || errno != 4242)
		printf("accept: %s\n", strerror(errno));
	if (fcntl(fd, F_GETFD) != FD_CLOEXEC)
		printf("accept: the flag is lost\n");
}

static void connect_to(int port)
{
	struct sockaddr_storage end;
	socklen_t length = loopback(&end, port);
	if (connect(fd, (void *)&end, length) != 0)
		printf("connect: %s\n", strerror(errno));
}

/* Binds a port and does not listen, so that nobody else does. */
static void refused(void)
{
	struct sockaddr_storage end;
	socklen_t length = loopback(&end, 0);
	int taken = socket(family, SOCK_STREAM, 0);
	bind(taken, (void *)&end, length);
	getsockname(taken, (void *)&end, &length);
	connect_to(ntohs(((struct sockaddr_in *)&end)->sin_port));
}

static void again(void)
{
	struct sockaddr_storage end;
	socklen_t length = sizeof end;
	int off = 0;
	wait_for_peers();
	getsockname(fd, (void *)&end, &length);
	fd = socket(family, SOCK_STREAM, 0);
	connect(fd, (void *)&end, length);
	show();
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof off);
	if (connect(fd, (void *)&end, length) == 0 || errno != EISCONN)
		printf("connect: again\n");
}

static void bad(void)
{
	if (connect(fd, (void *)16, sizeof(struct sockaddr_in)) != 0)
		printf("connect: %s\n", strerror(errno));
	if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, (void *)16, 4) != 0)
		printf("setsockopt: %s\n", strerror(errno));
	if (setsockopt(-1, IPPROTO_TCP, TCP_KEEPIDLE, (void *)16, 4) != 0)
		printf("setsockopt: %s\n", strerror(errno));
}

static void cleaned(void *text)
{
	printf("%s\n", (char *)text);
}

static void leave(char **text)
{
	printf("%s\n", *text);
}

static void *wait_in_accept(void *ready)
{
	/* The compiler's cleanup is found by unwinding alone, through the frames in between. */
	__attribute__((cleanup(leave))) char *text = "unwound";
	pthread_cleanup_push(cleaned, "cleaned up");
	pthread_mutex_unlock(ready);
	accept(fd, NULL, NULL);
	pthread_cleanup_pop(0);
	return text;
}

static void cancel(void)
{
	pthread_t thread;
	void *result = NULL;
	pthread_mutex_t ready = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&ready);
	pthread_create(&thread, NULL, wait_in_accept, &ready);
	pthread_mutex_lock(&ready);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("%s\n", result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
}

static void in_vfork(const char *file)
{
	int status;
	pid_t child = vfork();
	if (child == 0) {
		int made = socket(AF_INET, SOCK_STREAM, 0);
		dup2(made, 9);
		execl(file, file, "fd", "9", "show", (char *)NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	printf("child %d\n", status);
}

#ifdef WITHOUT_DLSYM
/* As where the library that has it was not loaded. */
void *dlsym(void *handle, const char *name)
{
	(void)handle;
	(void)name;
	return NULL;
}
#endif

#ifdef DLSYM_ON_LOADING
/* Says when it is asked for something after the program began: signal handlers may connect, and must
   not ask. */
static int began;

#define MADE(name) \
	static long made_##name(long a, long b, long c, long d, long e) \
	{ \
		return syscall(SYS_##name, a, b, c, d, e); \
	}
MADE(socket) MADE(connect) MADE(listen) MADE(accept) MADE(accept4) MADE(setsockopt)

void *dlsym(void *handle, const char *name)
{
	(void)handle;
	if (began)
		printf("dlsym: %s\n", name);
	return strcmp(name, "socket") == 0    ? (void *)made_socket
	       : strcmp(name, "connect") == 0 ? (void *)made_connect
	       : strcmp(name, "listen") == 0  ? (void *)made_listen
	       : strcmp(name, "accept") == 0  ? (void *)made_accept
	       : strcmp(name, "accept4") == 0 ? (void *)made_accept4
					      : (void *)made_setsockopt;
}
#endif

#ifdef MIMICS_GLIBC
/* As gcompat does for musl. */
const char *gnu_get_libc_version(void)
{
	return "2.8";
}
#endif

/* All sockets are made past libc, as by a program that the library is not in. */
static void received(const char *self)
{
	struct sockaddr_storage end;
	socklen_t length = loopback(&end, 0);
	char pid[32];
	int listener = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	int client = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	bind(listener, (void *)&end, length);
	syscall(SYS_listen, listener, 9);
	getsockname(listener, (void *)&end, &length);
	syscall(SYS_connect, client, &end, length);
	int served = syscall(SYS_accept, listener, NULL, NULL);
	pid_t child = fork();
	if (child == 0) {
		snprintf(pid, sizeof pid, "%d", getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
		/* Out of the way first: it may be 3 itself. */
		int spare = fcntl(listener, F_DUPFD, 20);
		dup2(served, 0);
		dup2(spare, 3);
		execl(self, self, "fd", "0", "show", "fd", "3", "show", (char *)NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
}

int main(int count, char **words)
{
#ifdef DLSYM_ON_LOADING
	began = 1;
#endif
	for (int at = 1; at < count; at++) {
		const char *word = words[at];
		if (strcmp(word, "tcp4") == 0)
			make(AF_INET, SOCK_STREAM, 0);
		else if (strcmp(word, "tcp6") == 0)
			make(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
		else if (strcmp(word, "mptcp") == 0)
			make(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
		else if (strcmp(word, "udp") == 0)
			make(AF_INET, SOCK_DGRAM, 0);
		else if (strcmp(word, "unix") == 0)
			make(AF_UNIX, SOCK_STREAM, 0);
		else if (strcmp(word, "show") == 0)
			show();
		else if (strcmp(word, "listen") == 0)
			wait_for_peers();
		else if (strcmp(word, "accepted") == 0)
			accepted();
		else if (strcmp(word, "again") == 0)
			again();
		else if (strcmp(word, "refused") == 0)
			refused();
		else if (strcmp(word, "bad") == 0)
			bad();
		else if (strcmp(word, "cancel") == 0)
			cancel();
		else if (strcmp(word, "received") == 0)
			received(words[0]);
		else if (strcmp(word, "env") == 0)
			clearenv();
		else if (strcmp(word, "fd") == 0)
			fd = atoi(words[++at]);
		else if (strcmp(word, "connect") == 0)
			connect_to(atoi(words[++at]));
		else if (strcmp(word, "vfork") == 0)
			in_vfork(words[++at]);
		else if (strcmp(word, "set") == 0) {
			set(words[at + 1], atoi(words[at + 2]));
			at += 2;
		} else {
			fprintf(stderr, "what is %s?\n", word);
			return 2;
		}
	}
	return 0;
}
