/*
 * What the access log knows of an ended session, and the ring that carries it.
 *
 * One ring (base/ring.h) per worker. The worker fills in a record at the end of a session; the
 * admin thread makes the line. A full ring drops the record and counts it.
 *
 * Threads: push by the worker, pop by the admin thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"
#include "model/slot.h"

enum { ACCESS_RING_SIZE = 4096 }; /* power of two */

struct access_record {
	uint64_t wall_ns;        /* when it ended */
	uint64_t duration_ns;    /* from accept */
	uint64_t connect_ns;     /* of the connect that succeeded; 0: none did */
	uint64_t received_bytes; /* from the client */
	uint64_t sent_bytes;     /* to the client */
	uint32_t listener;
	uint32_t pool;
	uint32_t slot;              /* RECORD_NONE: no backend */
	uint8_t tries;              /* connects that were begun */
	uint8_t by;                 /* enum closed_by */
	uint8_t reason;             /* enum close_reason */
	bool local;                 /* the client came over a UNIX socket: no address */
	uint8_t client_address[18]; /* as in struct session_record */
};

struct access_ring {
	struct ring ring;
	struct access_record entries[ACCESS_RING_SIZE];
};

/* Makes an empty ring. */
void access_init(struct access_ring *ring);

/* False when the ring is full; the record is then counted as dropped. */
bool access_push(struct access_ring *ring, const struct access_record *record);
bool access_pop(struct access_ring *ring, struct access_record *ret_record);

/* How many records were dropped so far. Any thread. */
uint64_t access_dropped(const struct access_ring *ring);
