/*
 * Whether this is a build without what sessions are continued by: check words, journals, cookies,
 * and the option that makes the kernel's byte counts exact. Only for the benchmark, which says by
 * it what survival costs (-Dbare=true); such a build cannot supervise.
 *
 * A constant; no thread is concerned.
 */
#pragma once

#include <stdbool.h>

static const bool BARE = LOBLE_BARE != 0;
