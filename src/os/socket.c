#include "os/socket.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bare.h"
#include "base/error.h"

/* The thread sanitizer does not see close_range(), and mixes up the users of a number then. */
#if defined(__SANITIZE_THREAD__)
enum { CLOSES_RANGES = 0 };
#else
enum { CLOSES_RANGES = 1 };
#endif

enum { KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_TRIES = 6 };

static int set_number(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

static int set_flag(int fd, int level, int option)
{
	return set_number(fd, level, option, 1);
}

static bool is_local(const struct sockaddr_any *address)
{
	return address->generic.sa_family == AF_UNIX;
}

int socket_keep_alive(int fd, uint32_t idle_s)
{
	int r;

	if (idle_s == 0) {
		return 0;
	}
	r = set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
	if (r == 0) {
		r = set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle_s);
	}
	if (r == 0) {
		r = set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	}
	if (r == 0) {
		r = set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
	}
	return r;
}

/*
 * Bounds what the kernel holds for a side that does not read. The kernel doubles the value for its
 * own needs, so half of it is asked for.
 */
static int set_buffers(int fd, uint64_t bytes)
{
	const int half = bytes / 2 > INT32_MAX ? INT32_MAX : (int)(bytes / 2);
	int r;

	if (bytes == 0) {
		return 0;
	}
	r = set_number(fd, SOL_SOCKET, SO_RCVBUF, half);
	return r == 0 ? set_number(fd, SOL_SOCKET, SO_SNDBUF, half) : r;
}

int socket_send_at_once(int fd)
{
	return set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
}

/*
 * What both a listener (for what it accepts) and a connecting socket get before anything else:
 * urgent data in line, so that it is forwarded, and that the kernel's byte counts stay exact.
 */
static int set_stream_options(int fd, bool local, uint64_t max_buffered)
{
	const int r = set_buffers(fd, max_buffered);

	return r < 0 || local ? r : set_flag(fd, SOL_SOCKET, SO_OOBINLINE);
}

static int set_listen_options(int fd, const struct listen_spec *spec)
{
	const bool local = is_local(&spec->address);
	int r = set_stream_options(fd, local, spec->max_buffered);

	if (local) {
		return r;
	}
	if (r == 0) {
		r = socket_send_at_once(fd);
	}
	if (r == 0) {
		r = socket_keep_alive(fd, spec->keepalive_s);
	}
	if (r == 0) {
		r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
	}
	if (r == 0 && spec->share_port) {
		r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
	}
	if (r == 0 && spec->freebind) {
		r = set_flag(fd, IPPROTO_IP, IP_FREEBIND);
	}
	if (r == 0 && spec->address.generic.sa_family == AF_INET6) {
		r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	}
	return r;
}

/* Whether some process still accepts on the UNIX socket. */
static bool is_live(const struct sockaddr_any *address)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool live;

	if (fd < 0) {
		return true; /* cannot tell: leave it alone */
	}
	live = connect(fd, &address->generic, address->length) == 0 || errno != ECONNREFUSED;
	(void)close(fd);
	return live;
}

void socket_remove_stale(const struct sockaddr_any *address)
{
	struct stat status;

	if (address->local.sun_path[0] == '\0' || lstat(address->local.sun_path, &status) < 0) {
		return;
	}
	if (S_ISSOCK(status.st_mode) && !is_live(address)) {
		(void)unlink(address->local.sun_path);
	}
}

bool socket_file_is_gone(const struct sockaddr_any *address)
{
	struct stat status;

	return is_local(address) && address->local.sun_path[0] != '\0' &&
		lstat(address->local.sun_path, &status) < 0 &&
		(errno == ENOENT || errno == ENOTDIR);
}

static int bind_local(int fd, const struct listen_spec *spec)
{
	const struct sockaddr_any *address = &spec->address;

	socket_remove_stale(address);
	if (bind(fd, &address->generic, address->length) < 0) {
		return -errno;
	}
	/* Nobody can connect before listen(), so there is no moment with a wider mode. */
	if (address->local.sun_path[0] != '\0' && chmod(address->local.sun_path, spec->mode) < 0) {
		const int r = -errno;

		(void)unlink(address->local.sun_path);
		return r;
	}
	return 0;
}

int socket_listen(const struct listen_spec *spec, int *ret_fd, struct error *err)
{
	const struct sockaddr_any *address = &spec->address;
	char text[SOCKADDR_TEXT_MAX];
	int fd;
	int r;

	assert(spec->backlog > 0);
	sockaddr_text(address, text);

	fd = socket(address->generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return error_set(err, errno, "%s: cannot open a socket", text);
	}
	r = set_listen_options(fd, spec);
	if (r < 0) {
		error_set(err, -r, "%s: cannot set options", text);
		goto fail_close;
	}
	if (is_local(address)) {
		r = bind_local(fd, spec);
	} else if (bind(fd, &address->generic, address->length) < 0) {
		r = -errno;
	}
	if (r < 0) {
		error_set(err, -r, "%s: cannot bind", text);
		goto fail_close;
	}
	if (listen(fd, spec->backlog) < 0) {
		r = error_set(err, errno, "%s: cannot listen", text);
		goto fail_close;
	}

	*ret_fd = fd;
	return 0;

fail_close:
	(void)close(fd);
	return r;
}

struct buffer_sizes {
	int receive;
	int send;
};

static int get_number(int fd, int name, int *ret_value)
{
	socklen_t length = sizeof *ret_value;

	return getsockopt(fd, SOL_SOCKET, name, ret_value, &length) == 0 ? 0 : -errno;
}

static int get_buffers(int fd, struct buffer_sizes *ret_sizes)
{
	const int r = get_number(fd, SO_RCVBUF, &ret_sizes->receive);

	return r < 0 ? r : get_number(fd, SO_SNDBUF, &ret_sizes->send);
}

static int get_default_buffers(int family, struct buffer_sizes *ret_sizes)
{
	const int fresh = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fresh < 0) {
		return -errno;
	}
	r = get_buffers(fresh, ret_sizes);
	(void)close(fresh);
	return r;
}

static bool are_equal(const struct buffer_sizes *a, const struct buffer_sizes *b)
{
	return a->receive == b->receive && a->send == b->send;
}

/*
 * Back to the kernel's choice: its default size, and no lock that keeps it from growing. To set a
 * size locks it, and before Linux 5.15 nothing takes the lock off: so what has no lock, or where
 * that cannot be seen the default size, is left alone.
 */
static int free_buffers(int fd, int family)
{
	struct buffer_sizes fresh = {.receive = 0};
	struct buffer_sizes now = {.receive = 0};
	int lock = 0;
	const int locked = get_number(fd, SO_BUF_LOCK, &lock);
	int r;

	if (locked == 0 && lock == 0) {
		return 0;
	}
	r = get_default_buffers(family, &fresh);
	if (r == 0) {
		r = get_buffers(fd, &now);
	}
	if (r < 0 || (locked < 0 && are_equal(&fresh, &now))) {
		return r;
	}
	r = set_number(fd, SOL_SOCKET, SO_RCVBUF, fresh.receive / 2);
	if (r == 0) {
		r = set_number(fd, SOL_SOCKET, SO_SNDBUF, fresh.send / 2);
	}
	return r == 0 ? set_number(fd, SOL_SOCKET, SO_BUF_LOCK, 0) : r;
}

static int adjust_keepalive(int fd, uint32_t idle_s)
{
	return idle_s == 0 ? set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 0)
			   : socket_keep_alive(fd, idle_s);
}

/* What can be had is had, also when something else cannot. */
int socket_adjust(int fd, const struct listen_spec *spec)
{
	const int family = spec->address.generic.sa_family;
	const char *path = spec->address.local.sun_path;
	const int buffers = spec->max_buffered == 0 ? free_buffers(fd, family)
						    : set_buffers(fd, spec->max_buffered);
	const int queue = listen(fd, spec->backlog) == 0 ? 0 : -errno;
	int last = 0;

	if (family != AF_UNIX) {
		last = adjust_keepalive(fd, spec->keepalive_s);
	} else if (path[0] != '\0' && chmod(path, spec->mode) < 0) {
		last = -errno;
	}
	return buffers < 0 ? buffers : (queue < 0 ? queue : last);
}

int socket_prove_free(const struct listen_spec *spec, struct error *err)
{
	struct listen_spec alone = *spec;
	char text[SOCKADDR_TEXT_MAX];
	int fd;
	int r;

	if (is_local(&spec->address) || sockaddr_port(&spec->address) == 0) {
		return 0;
	}
	alone.share_port = false;
	fd = socket(spec->address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return error_set(err, errno, "%s: cannot open a socket",
			sockaddr_text(&spec->address, text));
	}
	/* Never listens: a client that came at this moment would be lost. */
	r = set_listen_options(fd, &alone);
	if (r == 0 && bind(fd, &spec->address.generic, spec->address.length) < 0) {
		r = -errno;
	}
	(void)close(fd);
	return r < 0 ? error_set(err, -r, "%s: cannot bind", sockaddr_text(&spec->address, text))
		     : 0;
}

int socket_open(const struct sockaddr_any *address, uint64_t max_buffered, int *ret_fd)
{
	const int fd = socket(address->generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0) {
		return -errno;
	}
	r = set_stream_options(fd, BARE || is_local(address), max_buffered);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int socket_connect(int fd, const struct sockaddr_any *address)
{
	return connect(fd, &address->generic, address->length) == 0 || errno == EINPROGRESS
		? 0
		: -errno;
}

bool socket_is_connected(int fd)
{
	struct sockaddr_any peer = {.length = sizeof peer.local};

	return getpeername(fd, &peer.generic, &peer.length) == 0;
}

bool socket_is_self(int fd)
{
	struct sockaddr_any ours = {.length = sizeof ours.local};
	struct sockaddr_any theirs = {.length = sizeof theirs.local};

	if (getsockname(fd, &ours.generic, &ours.length) < 0 ||
		getpeername(fd, &theirs.generic, &theirs.length) < 0) {
		return false;
	}
	return ours.generic.sa_family != AF_UNIX && ours.length == theirs.length &&
		memcmp(&ours.generic, &theirs.generic, ours.length) == 0;
}

static bool same_host(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	switch (a->generic.sa_family) {
	case AF_INET:
		return a->ip4.sin_addr.s_addr == b->ip4.sin_addr.s_addr;
	case AF_INET6:
		return memcmp(&a->ip6.sin6_addr, &b->ip6.sin6_addr, sizeof a->ip6.sin6_addr) == 0;
	default:
		return false;
	}
}

/* To connect a datagram socket sends nothing, and finds the route that a stream would take. */
bool socket_starts_there(const struct sockaddr_any *address)
{
	struct sockaddr_any ours = {.length = sizeof ours.local};
	struct sockaddr_any theirs = {.length = sizeof theirs.local};
	bool yes = true;
	int fd;

	if (is_local(address)) {
		return false;
	}
	fd = socket(address->generic.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return true;
	}
	if (connect(fd, &address->generic, address->length) == 0 &&
		getsockname(fd, &ours.generic, &ours.length) == 0 &&
		getpeername(fd, &theirs.generic, &theirs.length) == 0) {
		yes = same_host(&ours, &theirs);
	}
	(void)close(fd);
	return yes;
}

int socket_take_error(int fd)
{
	int error = 0;
	socklen_t length = sizeof error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void socket_reset_on_close(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool socket_resets_on_close(int fd)
{
	struct linger linger = {.l_onoff = 0};
	socklen_t length = sizeof linger;

	return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff != 0;
}

/*
 * A classic BPF program that drops segments with SYN and without ACK. What it sees begins with the
 * TCP header; the flags are byte 13. The last ACK of a handshake and its data pass.
 */
static int attach_syn_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	const struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0
											   : -errno;
}

int socket_refuse_new(int fd, bool local)
{
	if (local) {
		/* A UNIX listener refuses new ones then, and still gives out its queue. */
		return shutdown(fd, SHUT_RD) == 0 ? 0 : -errno;
	}
	return attach_syn_filter(fd);
}

void socket_close(int fd)
{
	if (fd >= 0) {
		(void)close(fd);
	}
}

void socket_close_pair(int a, int b)
{
	const int low = a < b ? a : b;
	const int high = a < b ? b : a;

	if (CLOSES_RANGES && low >= 0 && high == low + 1) {
		(void)close_range((unsigned)low, (unsigned)high, 0);
	} else {
		socket_close(a);
		socket_close(b);
	}
}

uint32_t socket_unacknowledged(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

uint32_t socket_unread(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCINQ, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}
