/*
 * A client's address as people read it. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

/*
 * Of the bytes that a session record keeps: IPv4 that was mapped into IPv6 for keeping is IPv4
 * again. `local`: it came over a UNIX socket and has no address.
 */
void client_text(const uint8_t address[static 18], bool local, char text[static SOCKADDR_TEXT_MAX]);
