/*
 * The running configuration as text, in shared memory: what a successor of the worker process
 * parses, instead of a file that may have changed, or be broken, by then.
 *
 * There are two copies, and a word that says which one holds. The other one is written, then the
 * word is stored: whoever dies meanwhile leaves the old text whole.
 *
 * Threads: config_text_store() by the first thread alone; config_text_load() by anybody who can
 *          bear that the text is replaced twice while it is read: the check word tells.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "model/limits.h"

struct config_text_copy {
	uint64_t length;
	uint64_t check; /* over the length and the bytes */
	char bytes[CONFIG_TEXT_MAX];
};

struct config_text {
	_Alignas(CACHE_LINE) _Atomic uint32_t current; /* 0: none; else 1 + index of the copy */
	struct config_text_copy copies[2];
};

/* Keeps a copy. Returns 0, or -E2BIG with the old text still in force. */
int config_text_store(struct config_text *text, const char *bytes, size_t length);

/* The text in force, borrowed until the next store; NULL: there is none, or it is damaged. */
const char *config_text_load(const struct config_text *text, size_t *ret_length);
