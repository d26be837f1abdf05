/*
 * What torture clients and backends say to each other besides the pattern.
 *
 * Down: greeting, pattern, end mark, FIN. Up: hello, pattern, end mark, FIN. The end mark stands
 * where a stream ends in order: a FIN without it is a stream that was cut. The hello tells the
 * backend who comes and how to behave. Host byte order: both are one program. Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GREETING_BYTES = 16, HELLO_BYTES = 64, END_MARK_BYTES = 16 };

enum { PROXY_HEADER_BYTES = 28, PREFIX_MAX = PROXY_HEADER_BYTES + HELLO_BYTES };

enum session_class {
	CLASS_PROBE,   /* requests and responses without a rest: its gaps are measured */
	CLASS_PING,    /* the same, with time to think */
	CLASS_SHORT,   /* a new connection, one request, one response */
	CLASS_BULK_UP, /* bursts */
	CLASS_BULK_DOWN,
	CLASS_BULK_BOTH,
	CLASS_SLOW_CLIENT, /* bulk that is read slowly, so that bytes are held back */
	CLASS_SLOW_BACKEND,
	CLASS_HALF_UP,   /* the client ends at once and reads on for long */
	CLASS_HALF_DOWN, /* the reverse */
	CLASS_IDLE,      /* a hello, then nothing until the end */
	CLASS_SILENT,    /* not even a hello until the end */
	CLASS_ABORT,     /* ends in a reset by the client, which has to arrive as one */
	CLASS_ABORTED,   /* by the backend */
	CLASS_COUNT,
};

struct greeting {
	uint64_t magic;
	uint64_t nonce; /* of the backend's connection */
};

struct hello {
	uint64_t magic;
	uint64_t nonce; /* of the greeting, or 0: not waited for */
	uint32_t session;
	uint32_t class;         /* enum session_class */
	uint32_t burst;         /* bytes that the backend sends at once; 0: none */
	uint32_t every_ms;      /* and how often */
	uint32_t hold_ms;       /* how long, where the client's end is not its end */
	uint32_t read_bytes;    /* what it reads at once; 0: all it can */
	uint32_t read_every_ms; /* and how often */
	uint32_t limit;         /* bytes after which it ends; 0: none */
	uint64_t spare;
	uint64_t check;
};

const char *wire_class_name(enum session_class class);

struct greeting wire_greeting(uint64_t nonce);
bool wire_greeting_ok(const struct greeting *greeting);

/* Whether it is a PROXY header of version 2 for TCP over IPv4. */
bool wire_proxy_header_ok(const uint8_t header[static PROXY_HEADER_BYTES]);

void wire_seal(struct hello *hello);
bool wire_hello_ok(const struct hello *hello);

/* The mark of a stream that ends at `position`; its first byte is never the pattern's there. */
void wire_end_mark(uint32_t key, uint64_t position, uint8_t mark[static END_MARK_BYTES]);

/* Bytes of the pattern in a session's n-th request and its response. */
uint32_t wire_request_bytes(enum session_class class, uint32_t session, uint64_t round);
uint32_t wire_response_bytes(enum session_class class, uint32_t session, uint64_t round);
