/*
 * Answers in the form that libmicrohttpd sends.
 *
 * Threads: the admin thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;
struct answer;

/*
 * Hands the answer to the library; takes it in any case. With `count` (which must outlive the
 * server) a text counts there for as long as it is held. Returns false where there is no memory:
 * the connection is to end.
 */
bool response_send(struct MHD_Connection *connection, struct answer *answer, uint32_t *count);
