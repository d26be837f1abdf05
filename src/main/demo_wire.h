/*
 * What clients and backends of the demo say to one another: a request of some bytes, an answer of
 * as many, every byte of both known beforehand, so that each one can be checked.
 *
 * Both ends are one process: numbers have the order of the machine.
 *
 * Threads: any; pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DEMO_WIRE_MAGIC = 0x10b1e001,
	DEMO_BODY_MAX = 64 * 1024,
	DEMO_HEADER_SIZE = 24,
};

/* Before the bytes, in both directions. */
struct demo_header {
	uint32_t magic;
	uint32_t length;  /* bytes that follow, at most DEMO_BODY_MAX */
	uint64_t seed;    /* of these bytes */
	uint32_t backend; /* answer: who speaks */
	uint32_t intact;  /* answer: 1 when the request arrived as it was sent */
};

void demo_header_write(const struct demo_header *header, char to[static DEMO_HEADER_SIZE]);

/* False when these bytes are no header. */
bool demo_header_read(const char from[static DEMO_HEADER_SIZE], struct demo_header *ret_header);

/* The answer to a request has other bytes: this is their seed. */
uint64_t demo_answer_seed(uint64_t request_seed);

/* Writes the `length` bytes that stand at `offset` of the body with this seed. */
void demo_body_fill(uint64_t seed, size_t offset, char *to, size_t length);

/* Whether these bytes are the ones that stand there. */
bool demo_body_check(uint64_t seed, size_t offset, const char *from, size_t length);
