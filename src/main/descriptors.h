/*
 * How many sessions go with a limit of descriptors, and the other way round: for the start, and for
 * `loble doctor`, which says it beforehand. Pure; any thread.
 */
#pragma once

#include <stdint.h>

/* What is asked for where the configuration names no number of sessions. */
enum { DESCRIPTORS_WANTED = 1024 * 1024 };

/* Two per session, and some for everything else; of a low limit half. */
uint32_t descriptors_to_sessions(uint64_t descriptors);

/* The limit that is enough for so many sessions. */
uint64_t descriptors_of_sessions(uint32_t sessions);
