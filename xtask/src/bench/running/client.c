// A client and its server in one process: what a connection costs, a call that has nothing to do with
// the network, and data. Prints microseconds.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in address = {.sin_family = AF_INET};
static socklen_t length = sizeof address;
static int server;

static void connected(int *pair) {
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(pair[0], (void *)&address, length))
        fail("connect");
    if ((pair[1] = accept(server, 0, 0)) < 0)
        fail("accept");
}

int main(int count, char **words) {
    int connections = atoi(words[1]), calls = connections * 50, blocks = connections * 10;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&address, length) || listen(server, 16))
        fail("listen");
    getsockname(server, (void *)&address, &length);

    int pair[2];
    // A reset leaves no TIME-WAIT behind, which would use up the ports.
    struct linger reset = {1, 0};
    double start = now();
    for (int i = 0; i < connections; i++) {
        connected(pair);
        setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(pair[0]);
        close(pair[1]);
    }
    printf("connection %.3f\n", (now() - start) / connections);

    start = now();
    for (int i = 0; i < calls; i++)
        syscall(SYS_getppid);
    printf("call %.4f\n", (now() - start) / calls);

    static char block[16384];
    connected(pair);
    start = now();
    for (int i = 0; i < blocks; i++) {
        if (write(pair[0], block, sizeof block) != sizeof block)
            fail("write");
        for (long got = 0, more; got < (long)sizeof block; got += more)
            if ((more = read(pair[1], block, sizeof block)) <= 0)
                fail("read");
    }
    printf("block %.3f\n", (now() - start) / blocks);
    return 0;
}
