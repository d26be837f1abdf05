/*
 * Makes one call of the C library fail, in a program that knows nothing of it: for LD_PRELOAD.
 *
 * FAIL_FILE names a file of sizeof(struct plan) bytes, which the test maps as well and changes
 * while the program runs: which call is to fail, from its how-manieth on, how often, and with which
 * errno. Calls are counted from main() on, over all processes that share the file. What fails does
 * nothing else: no descriptor is made, no byte is moved. What the C library calls for itself is
 * left alone: getaddrinfo() of glibc 2.36 ends the program when it gets no memory.
 *
 * Threads: any; the plan is the test's, its counters are atomic.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As tests/system/harness/failures.py packs it. */
struct plan {
	_Atomic uint32_t armed;
	_Atomic uint32_t first; /* the call that fails, from 1 */
	_Atomic uint32_t times; /* how many from then on */
	_Atomic uint32_t error; /* errno; 0: the usual one */
	_Atomic uint32_t calls; /* seen while armed */
	_Atomic uint32_t hits;  /* failed */
	char call[40];
};

static struct plan *plan; /* mapped once, never unmapped; NULL: nothing fails */
static bool in_main;      /* set before there are threads */

static struct {
	uintptr_t begin;
	uintptr_t end;
} libc; /* its code, from the constructor on */

static int note_libc(struct dl_phdr_info *object, size_t size, void *context)
{
	(void)size;
	(void)context;
	if (strstr(object->dlpi_name, "/libc.so") == NULL) {
		return 0;
	}
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];

		if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
			libc.begin = object->dlpi_addr + part->p_vaddr;
			libc.end = libc.begin + part->p_memsz;
		}
	}
	return 1;
}

/* With bare system calls, so that nothing of this is seen by the wrappers below. */
__attribute__((constructor)) static void map_plan(void)
{
	const char *path = secure_getenv("FAIL_FILE");
	const long fd = path == NULL ? -1 : syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	long address;

	if (fd < 0) {
		return;
	}
	(void)dl_iterate_phdr(note_libc, NULL);
	address = syscall(SYS_mmap, NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)syscall(SYS_close, fd);
	if (address != -1) {
		memcpy(&plan, &address, sizeof plan);
	}
}

/* Whether this call, which returns to `caller`, is the one. Sets errno then. */
static bool fails(const char *call, const void *caller, int usual_error)
{
	uint32_t number;
	uint32_t first;

	if (!in_main || plan == NULL ||
		atomic_load_explicit(&plan->armed, memory_order_acquire) == 0 ||
		strcmp(plan->call, call) != 0 ||
		((uintptr_t)caller >= libc.begin && (uintptr_t)caller < libc.end)) {
		return false;
	}
	number = atomic_fetch_add_explicit(&plan->calls, 1, memory_order_relaxed) + 1;
	first = atomic_load_explicit(&plan->first, memory_order_relaxed);
	if (number < first ||
		number - first >= atomic_load_explicit(&plan->times, memory_order_relaxed)) {
		return false;
	}
	atomic_fetch_add_explicit(&plan->hits, 1, memory_order_relaxed);
	errno = (int)atomic_load_explicit(&plan->error, memory_order_relaxed);
	errno = errno == 0 ? usual_error : errno;
	return true;
}

/* The function that would have been called without this library. */
static void find_next(void *ret_function, const char *symbol)
{
	void *found = dlsym(RTLD_NEXT, symbol);

	if (found == NULL) {
		abort();
	}
	memcpy(ret_function, &found, sizeof found);
}

/*
 * One function that looks like `symbol`. A macro, since forty functions that differ in nothing but
 * their types say less than a table of them.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): a list of parameters cannot stand in any */
#define WRAP_AS(call, type, symbol, parameters, arguments, failed, usual_error) \
	type symbol parameters                                                  \
	{                                                                       \
		static type(*next) parameters;                                  \
		if (fails(call, __builtin_return_address(0), usual_error)) {    \
			return failed;                                          \
		}                                                               \
		if (next == NULL) {                                             \
			find_next(&next, #symbol);                              \
		}                                                               \
		return next arguments;                                          \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define WRAP(type, symbol, parameters, arguments, failed, usual_error) \
	WRAP_AS(#symbol, type, symbol, parameters, arguments, failed, usual_error)

/* clang-format off */
WRAP(void *, malloc, (size_t bytes), (bytes), NULL, ENOMEM)
WRAP(char *, strdup, (const char *text), (text), NULL, ENOMEM)
WRAP(void *, calloc, (size_t count, size_t bytes), (count, bytes), NULL, ENOMEM)
WRAP(void *, realloc, (void *old, size_t bytes), (old, bytes), NULL, ENOMEM)
WRAP(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes), NULL, ENOMEM)
WRAP(void *, mmap, (void *at, size_t n, int rights, int flags, int fd, off_t offset),
	(at, n, rights, flags, fd, offset), MAP_FAILED, ENOMEM)
WRAP_AS("mmap", void *, mmap64, (void *at, size_t n, int rights, int flags, int fd, off64_t offset),
	(at, n, rights, flags, fd, offset), MAP_FAILED, ENOMEM)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, EMFILE)
WRAP(int, ftruncate, (int fd, off_t length), (fd, length), -1, EFBIG)
WRAP_AS("ftruncate", int, ftruncate64, (int fd, off64_t length), (fd, length), -1, EFBIG)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1, EMFILE)
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
	(fd, level, name, value, length), -1, ENOBUFS)
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),
	(fd, level, name, value, length), -1, ENOBUFS)
WRAP(int, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length),
	-1, EADDRINUSE)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1, EADDRINUSE)
WRAP(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length),
	(fd, address, length), -1, ENOBUFS)
WRAP(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags),
	(fd, address, length, flags), -1, EMFILE)
WRAP(int, getsockname, (int fd, __SOCKADDR_ARG address, socklen_t *length),
	(fd, address, length), -1, ENOBUFS)
WRAP(int, getpeername, (int fd, __SOCKADDR_ARG address, socklen_t *length),
	(fd, address, length), -1, ENOTCONN)
WRAP(int, shutdown, (int fd, int how), (fd, how), -1, ENOTCONN)
WRAP(ssize_t, recv, (int fd, void *bytes, size_t n, int flags), (fd, bytes, n, flags), -1, ENOMEM)
WRAP(ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags), -1,
	ENOBUFS)
WRAP(ssize_t, splice, (int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags),
	(in, from, out, to, n, flags), -1, ENOMEM)
WRAP(int, epoll_create1, (int flags), (flags), -1, EMFILE)
WRAP(int, epoll_wait, (int fd, struct epoll_event *events, int count, int timeout_ms),
	(fd, events, count, timeout_ms), -1, EINTR)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), -1, EMFILE)
WRAP(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), -1, EMFILE)
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags), -1, EMFILE)
WRAP(int, dup, (int fd), (fd), -1, EMFILE)
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), -1, EROFS)
WRAP(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attributes,
	void *(*run)(void *), void *argument), (thread, attributes, run, argument), errno, EAGAIN)
WRAP(ssize_t, getrandom, (void *bytes, size_t n, unsigned flags), (bytes, n, flags), -1, EAGAIN)
WRAP(ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n), -1, EIO)
WRAP(ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n), -1, ENOSPC)
WRAP(int, fstat, (int fd, struct stat *status), (fd, status), -1, ENOMEM)
WRAP_AS("fstat", int, fstat64, (int fd, struct stat64 *status), (fd, status), -1, ENOMEM)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, EMFILE)
WRAP_AS("fopen", FILE *, fopen64, (const char *path, const char *mode), (path, mode), NULL, EMFILE)
WRAP(FILE *, open_memstream, (char **text, size_t *length), (text, length), NULL, ENOMEM)
WRAP(int, sched_getaffinity, (pid_t pid, size_t n, cpu_set_t *set), (pid, n, set), -1, EINVAL)
WRAP(int, madvise, (void *at, size_t n, int advice), (at, n, advice), -1, EAGAIN)
/* clang-format on */

/*
 * To change or take out what is there needs nothing, so it cannot fail; and what is there already
 * is found before anything is taken.
 */
int epoll_ctl(int fd, int operation, int other, struct epoll_event *event)
{
	const int result = (int)syscall(SYS_epoll_ctl, fd, operation, other, event);
	int error;

	if (result < 0 || operation != EPOLL_CTL_ADD ||
		!fails("epoll_ctl", __builtin_return_address(0), ENOSPC)) {
		return result;
	}
	error = errno;
	(void)syscall(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, other, NULL);
	errno = error;
	return -1;
}

static mode_t mode_of(int flags, va_list more)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list more;
	mode_t mode;

	va_start(more, flags);
	mode = mode_of(flags, more);
	va_end(more);
	if (fails("open", __builtin_return_address(0), EMFILE)) {
		return -1;
	}
	return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list more;
	mode_t mode;

	va_start(more, flags);
	mode = mode_of(flags, more);
	va_end(more);
	if (fails("open", __builtin_return_address(0), EMFILE)) {
		return -1;
	}
	return openat64(AT_FDCWD, path, flags, mode);
}

/* Each request takes one word at most, and a word that is not there is not looked at. */
static int fcntl_word(const void *caller, int fd, int request, void *word)
{
	return fails("fcntl", caller, EPERM) ? -1 : (int)syscall(SYS_fcntl, fd, request, word);
}

int fcntl(int fd, int request, ...)
{
	va_list more;
	void *word;

	va_start(more, request);
	word = va_arg(more, void *);
	va_end(more);
	return fcntl_word(__builtin_return_address(0), fd, request, word);
}

int fcntl64(int fd, int request, ...)
{
	va_list more;
	void *word;

	va_start(more, request);
	word = va_arg(more, void *);
	va_end(more);
	return fcntl_word(__builtin_return_address(0), fd, request, word);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list more;
	void *word;

	va_start(more, request);
	word = va_arg(more, void *);
	va_end(more);
	return fails("ioctl", __builtin_return_address(0), ENOTTY)
		? -1
		: (int)syscall(SYS_ioctl, fd, request, word);
}

static int (*program)(int, char **, char **);

static int counted_main(int argc, char **argv, char **environment)
{
	in_main = true;
	return program(argc, argv, environment);
}

int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv, void (*init)(void),
	void (*done)(void), void (*loader_done)(void), void *stack_end);

/* What the start code of every program calls, with its main(). */
/* NOLINTNEXTLINE(readability-function-size): it is as it is */
int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv, void (*init)(void),
	void (*done)(void), void (*loader_done)(void), void *stack_end)
{
	int (*next)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
		void (*)(void), void *);

	find_next(&next, "__libc_start_main");
	program = run;
	return next(counted_main, argc, argv, init, done, loader_done, stack_end);
}
