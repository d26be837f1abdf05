/*
 * What the admin thread asks control to do: a box between the two.
 *
 * Nothing of this is on the way of a session, so it is plain: memory of this process, one lock, an
 * eventfd for each side. A request is posted and collected by the admin thread, taken and answered
 * by control, at once or as late as it likes. A bounded number of them is under way.
 *
 * Owner:    the first thread, from request_box_create() to request_box_free(); both other sides
 *           have ended by then.
 * Threads:  request_post() and request_collect() by the admin thread, request_take() and
 *           request_answer() by control.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct error;
struct request_box;

enum { REQUESTS_MAX = 32, REQUEST_ARGUMENT_MAX = 512 };

enum request_kind {
	REQUEST_RELOAD,
	REQUEST_UPGRADE,
	REQUEST_KIND_COUNT,
};

enum request_result {
	REQUEST_DONE,    /* it has been done; `text` may say what */
	REQUEST_STARTED, /* it is under way, as number `number` */
	REQUEST_INVALID, /* the configuration has mistakes: `text`, as below */
	REQUEST_NO_FILE, /* it is not there */
	REQUEST_NOT_PERMITTED,
	REQUEST_IO,      /* it cannot be read */
	REQUEST_LIMIT,   /* no memory, no descriptor */
	REQUEST_UNKNOWN, /* there is no such thing */
	REQUEST_REFUSED, /* not now, or not here */
	REQUEST_RESULT_COUNT,
};

struct request {
	enum request_kind kind;
	uint64_t ticket; /* of who posted it; 0: nobody waits for the answer */
	char argument[REQUEST_ARGUMENT_MAX];
	/* The answer. */
	enum request_result result;
	uint64_t number;
	char *text; /* owned, from malloc(): goes with the request; NULL: none */
};

int request_box_create(struct request_box **ret_box, struct error *err);

/* NULL is allowed. */
void request_box_free(struct request_box *box);

/* Readable while there is something to take, or to collect. */
int request_box_control_fd(const struct request_box *box);
int request_box_admin_fd(const struct request_box *box);

/* Posts a copy. Returns false when too many are under way. */
bool request_post(struct request_box *box, const struct request *request);

/* The next that was posted, as a copy to be given to request_answer(). False: there is none. */
bool request_take(struct request_box *box, struct request *ret_request);

/* Takes the text. Each request that was taken is answered once. */
void request_answer(struct request_box *box, const struct request *request);

/* The next that was answered; the text is the caller's then. False: there is none. */
bool request_collect(struct request_box *box, struct request *ret_request);
