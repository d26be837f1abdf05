/*
 * How many of each thing one process can hold. Shared memory is laid out for these numbers and
 * touched only where it is used, so generous ones cost address space and nothing else. Constants.
 */
#pragma once

enum {
	WORKERS_MAX = 64,
	LISTENERS_MAX = 512,
	POOLS_MAX = 1024,
	SLOTS_MAX = 16384,
	SESSIONS_MAX = 1 << 24, /* session index + side fit into 32 bits of epoll data */

	LISTEN_SOCKETS_MAX = 2048, /* of one worker: ":80" takes two, and closing ones linger */

	CONFIG_TEXT_MAX = 32 << 20, /* a file of the largest size, with every option written out */

	IDENTITY_NAME_MAX = 128, /* a name of a listener, pool or backend, with the NUL */

	RECEIVE_BUFFER_BYTES = 256 * 1024, /* one per worker */
	LANES_PER_WORKER = 64,             /* directions that one batch of calls moves together */
	LANE_BYTES = 4096,                 /* what one of them may bring */
	CHUNK_BYTES = 64 * 1024,           /* what one direction may leave in user memory */
	CHUNKS_PER_WORKER = 1024,          /* 64 MiB */
	PIPES_PER_WORKER = 8192,           /* entries of the table; made when needed */
	BULK_PIPES_PER_WORKER = 128,       /* of them for bulk between TCP sockets */

	EVIDENCE_RING_SIZE = 1024, /* power of two */
	COMMAND_RING_SIZE = 256,   /* power of two */
	EVENT_RING_SIZE = 4096,    /* power of two */
};
