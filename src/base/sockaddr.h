/*
 * Addresses as operators write them, and as the kernel takes them.
 *
 *   "127.0.0.1:80"  "[::1]:80"  "[fe80::1%eth0]:80"  "name:80"  ":80"
 *   "unix:/run/x.sock"  "unix:@abstract"
 *
 * Parsing never looks a name up: see control/resolve.h. Pure functions, any thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	SOCKADDR_TEXT_MAX = 160, /* longest printed form, with the NUL */
	ADDRESS_HOST_MAX = 254,  /* RFC 1035: 253 and the NUL */
};

/* Any address that a connection of ours can have. */
struct sockaddr_any {
	socklen_t length;
	union {
		struct sockaddr generic;
		struct sockaddr_in ip4;
		struct sockaddr_in6 ip6;
		struct sockaddr_un local;
	};
};

enum address_kind {
	ADDRESS_UNSET = 0,
	ADDRESS_NUMERIC, /* `numeric` is an IPv4 or IPv6 address with its port */
	ADDRESS_NAME,    /* `host` has to be looked up; `port` */
	ADDRESS_ANY,     /* ":80": 0.0.0.0 and [::]; `port` */
	ADDRESS_LOCAL,   /* a UNIX socket: `numeric` holds it */
};

struct address {
	enum address_kind kind;
	uint16_t port; /* host byte order; 0 for ADDRESS_LOCAL */
	char host[ADDRESS_HOST_MAX];
	struct sockaddr_any numeric; /* set for ADDRESS_NUMERIC and ADDRESS_LOCAL */
};

/*
 * Parses the `length` bytes at `text`. Returns NULL when it is an address, else a constant
 * sentence that says what is wrong with it ("the port is missing: \"host:port\" is expected").
 */
const char *address_parse(const char *text, size_t length, struct address *ret_address);

/* Writes the canonical text ("[::1]:80") and returns `text`, NUL-terminated. */
const char *address_text(const struct address *address, char text[static ADDRESS_HOST_MAX + 8]);

/* The same for what the kernel gave: an accepted client, a resolved backend. */
const char *sockaddr_text(const struct sockaddr_any *address, char text[static SOCKADDR_TEXT_MAX]);

/* Whether both name the same endpoint (family, address, scope and port, or path). */
bool sockaddr_equal(const struct sockaddr_any *a, const struct sockaddr_any *b);

/* The port in host byte order; 0 for a UNIX socket. */
uint16_t sockaddr_port(const struct sockaddr_any *address);
