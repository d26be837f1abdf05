#include "data/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { V2_COMMAND_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_LOCAL = 0x31, V2_UNSPEC = 0 };
enum { V2_FIXED = 16, V2_PATH = 108 };

static const uint8_t v2_signature[12] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* What both versions say of a connection, once it is known of which family it is. */
struct endpoints {
	int family; /* AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC */
	uint8_t source[16];
	uint8_t destination[16];
	uint16_t source_port; /* network order */
	uint16_t destination_port;
};

/* Copies the IPv4 address, in either form; false when it has none. */
static bool copy_ip4(const struct sockaddr_any *address, uint8_t out[static 4])
{
	if (address->generic.sa_family == AF_INET) {
		memcpy(out, &address->ip4.sin_addr, 4);
		return true;
	}
	if (address->generic.sa_family == AF_INET6 &&
		IN6_IS_ADDR_V4MAPPED(&address->ip6.sin6_addr)) {
		memcpy(out, address->ip6.sin6_addr.s6_addr + 12, 4);
		return true;
	}
	return false;
}

static struct endpoints endpoints_of(
	const struct sockaddr_any *source, const struct sockaddr_any *destination)
{
	struct endpoints ends = {
		.family = AF_UNSPEC,
		.source_port = htons(sockaddr_port(source)),
		.destination_port = htons(sockaddr_port(destination)),
	};

	if (copy_ip4(source, ends.source) && copy_ip4(destination, ends.destination)) {
		ends.family = AF_INET;
	} else if (source->generic.sa_family == AF_INET6 &&
		destination->generic.sa_family == AF_INET6) {
		ends.family = AF_INET6;
		memcpy(ends.source, &source->ip6.sin6_addr, 16);
		memcpy(ends.destination, &destination->ip6.sin6_addr, 16);
	} else if (source->generic.sa_family == AF_UNIX &&
		destination->generic.sa_family == AF_UNIX) {
		ends.family = AF_UNIX;
	}
	return ends;
}

/*
 * The protocol knows IPv6 only as hexadecimal groups, while inet_ntop() ends what looks like IPv4
 * inside IPv6 (::192.0.2.1) in a dotted quad: that is written with all its groups.
 */
static void print_ip(int family, const uint8_t *address, char text[static INET6_ADDRSTRLEN])
{
	(void)inet_ntop(family, address, text, INET6_ADDRSTRLEN);
	if (family == AF_INET6 && strchr(text, '.') != NULL) {
		size_t length = 0;

		for (size_t i = 0; i < 16; i += 2) {
			length += (size_t)snprintf(text + length, INET6_ADDRSTRLEN - length,
				i == 0 ? "%x" : ":%x", address[i] << 8 | address[i + 1]);
		}
	}
}

static size_t write_v1(const struct endpoints *ends, uint8_t *header)
{
	char source[INET6_ADDRSTRLEN];
	char destination[INET6_ADDRSTRLEN];
	int length;

	if (ends->family != AF_INET && ends->family != AF_INET6) {
		static const char unknown[] = "PROXY UNKNOWN\r\n";

		memcpy(header, unknown, sizeof unknown - 1);
		return sizeof unknown - 1;
	}
	print_ip(ends->family, ends->source, source);
	print_ip(ends->family, ends->destination, destination);
	length = snprintf((char *)header, PROXY_HEADER_MAX, "PROXY %s %s %s %u %u\r\n",
		ends->family == AF_INET ? "TCP4" : "TCP6", source, destination,
		ntohs(ends->source_port), ntohs(ends->destination_port));
	assert(length > 0 && length < PROXY_HEADER_MAX);
	return (size_t)length;
}

static void write_path(const struct sockaddr_any *address, uint8_t path[static V2_PATH])
{
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t length = address->length > start ? address->length - start : 0;

	length = length > V2_PATH ? V2_PATH : length;
	memset(path, 0, V2_PATH);
	memcpy(path, address->local.sun_path, length);
}

/* Addresses of `bytes` each, then both ports. Returns the length of what follows the fixed part. */
static size_t write_ip(const struct endpoints *ends, size_t bytes, uint8_t *out)
{
	memcpy(out, ends->source, bytes);
	memcpy(out + bytes, ends->destination, bytes);
	memcpy(out + 2 * bytes, &ends->source_port, 2);
	memcpy(out + 2 * bytes + 2, &ends->destination_port, 2);
	return 2 * bytes + 4;
}

static size_t write_v2(const struct endpoints *ends, const struct sockaddr_any *source,
	const struct sockaddr_any *destination, uint8_t *header)
{
	uint8_t family = V2_UNSPEC;
	size_t length = 0;

	if (ends->family == AF_INET) {
		family = V2_TCP4;
		length = write_ip(ends, 4, header + V2_FIXED);
	} else if (ends->family == AF_INET6) {
		family = V2_TCP6;
		length = write_ip(ends, 16, header + V2_FIXED);
	} else if (ends->family == AF_UNIX) {
		family = V2_LOCAL;
		write_path(source, header + V2_FIXED);
		write_path(destination, header + V2_FIXED + V2_PATH);
		length = 2 * (size_t)V2_PATH;
	}
	memcpy(header, v2_signature, sizeof v2_signature);
	header[12] = V2_COMMAND_PROXY;
	header[13] = family;
	header[14] = (uint8_t)(length >> 8);
	header[15] = (uint8_t)length;
	return V2_FIXED + length;
}

size_t proxy_header_write(enum proxy_protocol version, const struct sockaddr_any *source,
	const struct sockaddr_any *destination, uint8_t header[static PROXY_HEADER_MAX])
{
	const struct endpoints ends = endpoints_of(source, destination);

	switch (version) {
	case PROXY_PROTOCOL_OFF:
		return 0;
	case PROXY_PROTOCOL_V1:
		return write_v1(&ends, header);
	case PROXY_PROTOCOL_V2:
		return write_v2(&ends, source, destination, header);
	}
	return 0;
}
