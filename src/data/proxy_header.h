/*
 * The PROXY protocol header that tells a backend who the client is, versions 1 and 2 (Tarreau,
 * "The PROXY protocol", haproxy.org, revision of 2020). Pure; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "model/snapshot.h"

enum { PROXY_HEADER_MAX = 16 + 216 }; /* version 2 with two UNIX addresses; version 1 needs 107 */

/*
 * Writes the header for a client at `source` that connected to `destination`. Addresses of
 * families that cannot be told together give UNKNOWN (1) or UNSPEC (2). IPv4 mapped into IPv6 is
 * written as IPv4. Returns the length; 0 for PROXY_PROTOCOL_OFF.
 */
size_t proxy_header_write(enum proxy_protocol version, const struct sockaddr_any *source,
	const struct sockaddr_any *destination, uint8_t header[static PROXY_HEADER_MAX]);
