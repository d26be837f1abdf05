#include "model/rcu.h"

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#ifdef WITH_TSAN
/* The library's own functions instead of inlined ones: they are no business of the sanitizer. */
#undef _LGPL_SOURCE
#endif
#include <urcu-qsbr.h>

#ifdef WITH_TSAN
/*
 * liburcu orders its readers with plain memory barriers, which ThreadSanitizer does not model.
 * Each quiescent state releases this address and the end of each grace period acquires it: that
 * is exactly the promise of a grace period.
 */
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static char grace_period;
#define READER_DONE() __tsan_release(&grace_period)
#define WAIT_DONE()   __tsan_acquire(&grace_period)
#else
#define READER_DONE() ((void)0)
#define WAIT_DONE()   ((void)0)
#endif

void rcu_reader_begin(void)
{
	urcu_qsbr_register_thread();
}

void rcu_reader_end(void)
{
	READER_DONE();
	urcu_qsbr_unregister_thread();
}

void rcu_quiet(void)
{
	READER_DONE();
	urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
	READER_DONE();
	urcu_qsbr_thread_offline();
}

void rcu_online(void)
{
	urcu_qsbr_thread_online();
}

void *rcu_swap(void **place, void *next)
{
	return __atomic_exchange_n(place, next, __ATOMIC_SEQ_CST);
}

void *rcu_read(void *const *place)
{
	return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

void rcu_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	WAIT_DONE();
}
