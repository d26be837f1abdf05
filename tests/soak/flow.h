/*
 * One direction of a torture session at one of its ends: what is still to be sent, or what has
 * come and whether it was right. Prefix (greeting or hello), pattern, end mark, FIN.
 *
 * Owner: its peer, which has the descriptor, too. Threads: the one of its process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"
#include "wire.h"

struct out_flow {
	uint32_t key;
	uint8_t prefix[PREFIX_MAX];
	uint8_t prefix_length;
	uint8_t prefix_sent;
	uint8_t mark_sent;
	bool ending;       /* the mark and a FIN follow once `target` is reached */
	bool finished;     /* the FIN is sent */
	uint64_t position; /* of the pattern: sent */
	uint64_t target;   /* of the pattern: to be sent */
};

enum out_result {
	OUT_DONE,    /* all is sent that there is to send */
	OUT_BLOCKED, /* the socket takes no more */
	OUT_FAILED,  /* errno says why */
};

/* Sends what it can. `sent` grows by the bytes. */
enum out_result out_flow_pump(struct out_flow *flow, int fd, uint64_t *sent);

struct in_flow {
	uint32_t key;
	uint8_t prefix[PREFIX_MAX];
	uint8_t prefix_length; /* how long it is to be */
	uint8_t prefix_got;
	uint8_t tail_length;
	uint8_t tail[PATTERN_EVIDENCE_BYTES]; /* from the first byte that is not the pattern's */
	uint64_t position;                    /* of the pattern: received and right */
};

enum in_result {
	IN_FINE,
	IN_WRONG, /* what has come is neither pattern nor end mark */
};

/* Takes what was received. The prefix is complete when prefix_got == prefix_length. */
enum in_result in_flow_feed(struct in_flow *flow, const uint8_t *bytes, size_t length);

enum in_end {
	END_IN_ORDER,
	END_TOO_EARLY, /* all that came is right, but it is not all */
	END_WRONG,     /* what came last is neither pattern nor end mark */
};

/* What a FIN at this point is. */
enum in_end in_flow_end(const struct in_flow *flow);

/* What the wrong bytes are. */
struct finding in_flow_diagnose(const struct in_flow *flow);
