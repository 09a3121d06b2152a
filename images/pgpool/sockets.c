/*
 * Mends what Pgpool-II 4.6 does wrong with sockets, and no setting changes, by wrapping connect(2) and accept(2).
 *
 * Servers: it goes on connecting after its connect_timeout until the kernel gives up, two minutes later. Long before
 * that, PostgreSQL has closed the connection to the other node, and the session fails: without one standby nobody could
 * log in. Nor does it ever ask a kept connection whether its server is still there.
 *
 * Clients: it forgets the sockets of those that it refuses for reserved_connections. A process that holds 1024 of them
 * aborts in the middle of the next session.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CONNECT_MS = 1500,		/* time for one SYN that was lost */
	IDLE_S = 10,			/* a silent server is asked after this long, ... */
	INTERVAL_S = 5,			/* ... again after this long, ... */
	PROBES = 3,				/* ... this many times */
	UNACKED_MS = 25000,		/* the same bound for data that nobody acknowledges */
};

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*real_connect)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int ready;

	if (option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		return real_connect(fd, address, length);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS);
	if (real_connect(fd, address, length) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EALREADY)
		return -1;
	ready = poll(&wait, 1, CONNECT_MS);
	if (ready < 0)
		return -1;
	/* SO_ERROR is 0 once the connection stands. */
	errno = ready == 0 ? ETIMEDOUT : option(fd, SOL_SOCKET, SO_ERROR);
	return errno == 0 ? 0 : -1;
}

/* The socket behind a descriptor; 0 for none. */
static ino_t socket_of(int fd)
{
	struct stat found;

	return fd >= 0 && fstat(fd, &found) == 0 ? found.st_ino : 0;
}

int accept(int listener, struct sockaddr *address, socklen_t *length)
{
	int (*real_accept)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");
	static int client = -1;
	static ino_t its_socket = 0;
	int next = real_accept(listener, address, length);

	if (next < 0)
		return next;
	/* A process serves one client at a time (but for the watchdog, which no pod has): the last one is gone or forgotten. */
	if (its_socket != 0 && client != next && socket_of(client) == its_socket)
		close(client);
	client = next;
	its_socket = socket_of(next);
	return next;
}
