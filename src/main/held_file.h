/*
 * A descriptor of ours that the worker process, which shares them, could have put another file in
 * place of: what it was is remembered, and compared once nobody shares them.
 *
 * Threads: any, and signal handlers: nothing here has a state of its own.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct held_file {
	int fd; /* owned; -1: none */
	dev_t device;
	ino_t inode;
};

struct held_file held_file_note(int fd);
bool held_file_is_same(const struct held_file *file);
