/*
 * A counter with one writer and any number of readers.
 *
 * The writer's thread alone adds; readers see some recent value. Relaxed order is enough: a
 * counter orders nothing but itself. No locked instruction: this is a load, an add and a store.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter_t;

static inline void counter_add(counter_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline uint64_t counter_get(const counter_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void counter_set(counter_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, value, memory_order_relaxed);
}
