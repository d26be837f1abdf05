#include "main/admin_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/privilege.h"
#include "os/process.h"
#include "os/socket.h"

enum {
	BACKLOG = 128,
	SOCKET_MODE = 0600,
	DIRECTORY_MODE_ROOT = 0755, /* who may connect is said by the socket's own mode */
	DIRECTORY_MODE_USER = 0700,
	LOCK_TRIES = 50, /* for another process that is opening its socket */
	LOCK_WAIT_MS = 20,
	DIRECTORY_MAX = ADMIN_PATH_MAX - 16, /* and the longest name of a socket */
};

static const char system_directory[] = "/run/loble";
static const char main_name[] = "admin.sock";
static const uid_t NO_USER = (uid_t)-1;

/* $XDG_RUNTIME_DIR/loble. Returns false when there is no such place. */
static bool user_directory(char directory[static DIRECTORY_MAX])
{
	/* Nobody changes the environment. */
	const char *base = secure_getenv("XDG_RUNTIME_DIR"); // NOLINT(concurrency-mt-unsafe)
	int length;

	if (base == NULL || *base != '/') {
		return false;
	}
	length = snprintf(directory, DIRECTORY_MAX, "%s/loble", base);
	return length > 0 && length < DIRECTORY_MAX;
}

static int default_directory(char directory[static DIRECTORY_MAX], struct error *err)
{
	if (geteuid() == 0) {
		memcpy(directory, system_directory, sizeof system_directory);
		return 0;
	}
	if (!user_directory(directory)) {
		return error_say(err, ENOENT, "there is no usable XDG_RUNTIME_DIR");
	}
	return 0;
}

static void set_address(const char *path, struct sockaddr_any *ret_address)
{
	*ret_address = (struct sockaddr_any){.length = sizeof ret_address->local};
	ret_address->local.sun_family = AF_UNIX;
	(void)snprintf(ret_address->local.sun_path, sizeof ret_address->local.sun_path, "%s", path);
}

static int open_at(const char *path, uid_t owner, struct admin_socket *socket, struct error *err)
{
	struct listen_spec spec = {.backlog = BACKLOG, .mode = SOCKET_MODE};
	struct stat status;
	int fd;
	int r;

	if (strlen(path) >= ADMIN_PATH_MAX) {
		return error_say(err, ENAMETOOLONG, "%s: the path is too long", path);
	}
	set_address(path, &spec.address);
	r = socket_listen(&spec, &fd, err);
	if (r < 0) {
		return r;
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if ((owner != NO_USER && lchown(path, owner, (gid_t)-1) < 0) || lstat(path, &status) < 0) {
		r = error_set(err, errno, "%s: cannot hand it over", path);
		(void)close(fd);
		(void)unlink(path);
		return r;
	}
	socket->fd = fd;
	socket->device = status.st_dev;
	socket->inode = status.st_ino;
	(void)snprintf(socket->path, sizeof socket->path, "%s", path);
	return 0;
}

/* Makes the directory where it is not there, for `owner` to remove and make its socket in. */
static int make_directory(const char *directory, uid_t owner, struct error *err)
{
	const mode_t mode = geteuid() == 0 ? DIRECTORY_MODE_ROOT : DIRECTORY_MODE_USER;

	if (mkdir(directory, mode) < 0) {
		return errno == EEXIST ? 0 : error_set(err, errno, "%s", directory);
	}
	/* The mode that mkdir() gives is less what the umask takes. */
	if (chmod(directory, mode) < 0 ||
		(owner != NO_USER && lchown(directory, owner, (gid_t)-1) < 0)) {
		return error_set(err, errno, "%s", directory);
	}
	return 0;
}

/* So that of two processes that start at once, none takes the other's socket for a stale one. */
static int lock_directory(const char *directory)
{
	const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		(void)poll(NULL, 0, LOCK_WAIT_MS);
	}
	return fd;
}

static bool is_pid_name(const char *name)
{
	const size_t digits = strspn(name, "0123456789");

	return digits > 0 && digits <= 10 && strcmp(name + digits, ".sock") == 0;
}

/* Calls `visit` for each socket of ours in the directory. */
static void visit_sockets(
	const char *directory, void (*visit)(const char *path, void *context), void *context)
{
	DIR *stream = opendir(directory);
	const struct dirent *entry;
	char path[ADMIN_PATH_MAX];

	if (stream == NULL) {
		return;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else reads this stream */
	while ((entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, main_name) != 0 && !is_pid_name(entry->d_name)) {
			continue;
		}
		(void)snprintf(path, sizeof path, "%s/%.15s", directory, entry->d_name);
		visit(path, context);
	}
	(void)closedir(stream);
}

static void remove_stale(const char *path, void *context)
{
	struct sockaddr_any address;

	(void)context;
	set_address(path, &address);
	socket_remove_stale(&address);
}

static int open_in(
	const char *directory, uid_t owner, struct admin_socket *socket, struct error *err)
{
	char path[ADMIN_PATH_MAX];
	int r;

	visit_sockets(directory, remove_stale, NULL); /* what crashed processes left behind */
	(void)snprintf(path, sizeof path, "%s/%s", directory, main_name);
	r = open_at(path, owner, socket, err);
	if (r != -EADDRINUSE) {
		return r;
	}
	(void)snprintf(path, sizeof path, "%s/%d.sock", directory, (int)process_main());
	r = open_at(path, owner, socket, err);
	if (r == 0) {
		(void)snprintf(socket->warning, sizeof socket->warning,
			"another process has %s/%s; the admin socket is %s", directory, main_name,
			path);
	}
	return r;
}

static int open_default(uid_t owner, struct admin_socket *socket, struct error *err)
{
	char directory[DIRECTORY_MAX];
	int lock_fd;
	int r = default_directory(directory, err);

	if (r == 0) {
		r = make_directory(directory, owner, err);
	}
	if (r < 0) {
		return r;
	}
	lock_fd = lock_directory(directory);
	r = open_in(directory, owner, socket, err);
	socket_close(lock_fd);
	return r;
}

int admin_socket_open(
	const char *path, const char *user, struct admin_socket *ret_socket, struct error *err)
{
	struct admin_socket socket = {.fd = -1};
	struct error why;
	uid_t owner = NO_USER;
	gid_t group;
	int r = user == NULL ? 0 : privilege_find(user, NULL, &owner, &group, err);

	if (r < 0) {
		return r;
	}
	if (path != NULL) {
		r = open_at(path, owner, &socket, &why);
		if (r < 0) {
			return error_say(err, -r, "admin.socket: %s", why.text);
		}
	} else if (open_default(owner, &socket, &why) < 0) {
		(void)snprintf(socket.warning, sizeof socket.warning,
			"there is no admin socket: %.400s", why.text);
	}
	*ret_socket = socket;
	return 0;
}

void admin_socket_close(struct admin_socket *socket)
{
	struct stat status;

	if (socket->fd < 0) {
		return;
	}
	if (lstat(socket->path, &status) == 0 && status.st_dev == socket->device &&
		status.st_ino == socket->inode) {
		(void)unlink(socket->path);
	}
	(void)close(socket->fd);
	socket->fd = -1;
}

static void try_one(const char *path, void *context)
{
	struct admin_found *found = context;
	struct sockaddr_any address;
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return;
	}
	set_address(path, &address);
	/* EAGAIN: its queue is full, so it is live. */
	if (connect(fd, &address.generic, address.length) == 0 || errno == EAGAIN) {
		if (found->count < ADMIN_FOUND_MAX) {
			(void)snprintf(found->paths[found->count], ADMIN_PATH_MAX, "%s", path);
			found->count++;
		}
	} else if (errno == EACCES || errno == EPERM) {
		(void)snprintf(found->refused, sizeof found->refused, "%s", path);
	}
	(void)close(fd);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

void admin_socket_find(struct admin_found *ret_found)
{
	char directory[DIRECTORY_MAX];

	*ret_found = (struct admin_found){.count = 0};
	visit_sockets(system_directory, try_one, ret_found);
	if (geteuid() != 0 && user_directory(directory)) {
		visit_sockets(directory, try_one, ret_found);
	}
	qsort(ret_found->paths, ret_found->count, ADMIN_PATH_MAX, compare_paths);
}
