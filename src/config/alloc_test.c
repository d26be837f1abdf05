/*
 * Each allocation of loading fails once: nothing may leak, and it is said. The linker sends malloc
 * and its kin here (--wrap), and the operators of C++ are replaced, so that the parser's own
 * allocations take part.
 */
#include "config/testing.h"

static struct {
	long until_failure; /* allocations that still succeed; below 0: all */
	long made;
	long live;
	bool counting;
	bool spare_library; /* the operators of C++ never fail */
} heap;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
void *operator_new(size_t size) __asm__("_Znwm");
void operator_delete(void *memory) __asm__("_ZdlPv");
void operator_delete_sized(void *memory, size_t size) __asm__("_ZdlPvm");
_Noreturn void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

/* Whether this allocation is the one that fails. */
static bool is_refused(void)
{
	if (!heap.counting) {
		return false;
	}
	heap.made++;
	return heap.until_failure >= 0 && heap.until_failure-- == 0;
}

static void *made(void *memory)
{
	if (heap.counting && memory != NULL) {
		heap.live++;
	}
	return memory;
}

static void unmade(const void *memory)
{
	if (heap.counting && memory != NULL) {
		heap.live--;
	}
}

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : made(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : made(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
	if (is_refused()) {
		return NULL;
	}
	unmade(memory);
	return made(__real_realloc(memory, size));
}

void __wrap_free(void *memory)
{
	unmade(memory);
	__real_free(memory);
}

void *operator_new(size_t size)
{
	const bool refused = !heap.spare_library && is_refused();
	void *memory = refused ? NULL : made(__real_malloc(size > 0 ? size : 1));

	if (memory == NULL) {
		throw_bad_alloc();
	}
	return memory;
}

void operator_delete(void *memory)
{
	__wrap_free(memory);
}

void operator_delete_sized(void *memory, size_t size)
{
	(void)size;
	__wrap_free(memory);
}

static const char good[] =
	"[[listeners]]\nname = 'a rather long name of a listener'\naddress = ':1'\npool = 'p'\n"
	"[pools.p]\n[pools.p.health]\nmax_ejected = 1\n[[pools.p.backends]]\naddress = 'Host:1'\n"
	"[[pools.p.backends]]\naddress = '10.0.0.1:1'\nname = 'x'\n"
	"[metrics]\n[admin]\nsocket = '/x'\n"
	"[pools.unused]\n[[pools.unused.backends]]\naddress = 'a:1'\nweight = 0\n"
	"[server]\nuser = 'nobody'\n";

static const char bad[] = "[listener]\nadress = 1\n[balancer]\nretries = 99\n[[backends]]\n"
			  "address = 'a:1'\n[[backends]]\naddress = 'a:1'\nnmae = 2\n";

static const char broken[] = "[listener]\naddress = 0.0.0.0:80\n";

/* One load with the n-th allocation refused. Returns whether so many were made at all. */
static bool load_with_failure(struct config *(*load)(struct diag *diag), long n, bool is_valid)
{
	struct config *config;
	struct diag *diag;
	bool reached;

	heap.made = 0;
	heap.live = 0;
	heap.until_failure = n;
	heap.counting = true;
	diag = diag_create();
	config = load(diag);
	reached = heap.made > n;
	if (reached || !is_valid) {
		assert_null(config);
		assert_true(diag_errors(diag) > 0);
	} else {
		assert_non_null(config);
		assert_int_equal(diag_errors(diag), 0);
	}
	config_free(config);
	heap.counting = false;
	free(messages_of(diag)); /* shows whatever there is, without a crash */
	heap.counting = true;
	diag_free(diag);
	heap.counting = false;
	assert_int_equal(heap.live, 0);
	return reached;
}

static void fail_each(struct config *(*load)(struct diag *diag), bool is_valid)
{
	long n = 0;

	while (load_with_failure(load, n, is_valid)) {
		n++;
	}
	assert_true(n >= 3);
}

static struct config *load_good(struct diag *diag)
{
	return config_load_text(good, sizeof good - 1, "f", diag);
}

static struct config *load_bad(struct diag *diag)
{
	return config_load_text(bad, sizeof bad - 1, "f", diag);
}

static struct config *load_broken(struct diag *diag)
{
	return config_load_text(broken, sizeof broken - 1, "f", diag);
}

static struct config *load_file(struct diag *diag)
{
	return config_load_file("/proc/self/status", diag);
}

static void a_valid_text(void **state)
{
	(void)state;
	fail_each(load_good, true);
}

static void a_text_with_mistakes(void **state)
{
	(void)state;
	fail_each(load_bad, false);
}

/* Where the library words a syntax error it must not throw, and ends the process: see toml.h. */
static void a_text_that_is_no_toml(void **state)
{
	(void)state;
	heap.spare_library = true;
	fail_each(load_broken, false);
	heap.spare_library = false;
}

static void a_file(void **state)
{
	(void)state;
	heap.spare_library = true;
	fail_each(load_file, false);
	heap.spare_library = false;
}

/* More mistakes than the first block of memory of a diag can hold. */
static struct config *load_many_mistakes(struct diag *diag)
{
	static char text[20000];
	size_t length = 0;

	for (int i = 0; i < 500; i++) {
		length +=
			(size_t)snprintf(text + length, sizeof text - length, "unknown%d = 1\n", i);
	}
	return config_load_text(text, length, "f", diag);
}

static void a_text_with_many_mistakes(void **state)
{
	(void)state;
	for (long n = 0; n < 12; n++) {
		load_with_failure(load_many_mistakes, n, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_valid_text),
		cmocka_unit_test(a_text_with_mistakes),
		cmocka_unit_test(a_text_that_is_no_toml),
		cmocka_unit_test(a_file),
		cmocka_unit_test(a_text_with_many_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
