/*
 * The first bytes of each session of the benchmark: what the client wants from the backend.
 *
 * They are the head of the client's stream; the pattern goes on behind them. A check sum tells a
 * damaged one from a request.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { HELLO_SIZE = 32, RECEIPT_SIZE = 64 };

enum hello_kind {
	HELLO_EXCHANGE = 1, /* `response` bytes for each `request` bytes, until the client ends */
	HELLO_DOWNLOAD,     /* `response` bytes, then FIN */
	HELLO_UPLOAD,       /* `request` bytes and FIN; a receipt of RECEIPT_SIZE bytes and FIN */
	HELLO_UPLOAD_LATER, /* the same, but nothing is read before the backend gets SIGUSR1 */
	HELLO_EARLY,        /* `response` bytes and close, however much the client still sends */
	HELLO_KIND_END,
};

struct hello {
	uint32_t stream;
	enum hello_kind kind;
	uint64_t request;  /* bytes, these HELLO_SIZE included */
	uint64_t response; /* bytes */
};

void hello_write(const struct hello *hello, uint8_t bytes[HELLO_SIZE]);

/* False when the bytes are not what hello_write() makes. */
bool hello_read(const uint8_t bytes[HELLO_SIZE], struct hello *ret_hello);
