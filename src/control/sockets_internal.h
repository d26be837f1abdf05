/*
 * What control/sockets.c and control/sockets_closing.c share. Threads: the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct sockets_closing;

bool sockets_same_address(const struct sockaddr_any *a, const struct sockaddr_any *b);

void sockets_remember_closing(
	struct sockets_closing *closing, uint32_t number, const struct sockaddr_any *address);
