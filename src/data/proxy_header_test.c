#include <arpa/inet.h>
#include <string.h>

#include "base/testing.h"
#include "data/proxy_header.h"

static struct sockaddr_any ip4(const char *text, uint16_t port)
{
	struct sockaddr_any address = {.length = sizeof address.ip4};

	address.ip4.sin_family = AF_INET;
	address.ip4.sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &address.ip4.sin_addr), 1);
	return address;
}

static struct sockaddr_any ip6(const char *text, uint16_t port)
{
	struct sockaddr_any address = {.length = sizeof address.ip6};

	address.ip6.sin6_family = AF_INET6;
	address.ip6.sin6_port = htons(port);
	assert_int_equal(inet_pton(AF_INET6, text, &address.ip6.sin6_addr), 1);
	return address;
}

/* `length` bytes of path, which may begin with a NUL (abstract) or be none (unnamed). */
static struct sockaddr_any local(const char *path, size_t length)
{
	struct sockaddr_any address = {
		.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)};

	memset(&address.local, 0xee, sizeof address.local); /* what lies behind must not leak */
	address.local.sun_family = AF_UNIX;
	memcpy(address.local.sun_path, path, length);
	return address;
}

static void assert_header(enum proxy_protocol version, struct sockaddr_any source,
	struct sockaddr_any destination, const void *expected, size_t length)
{
	uint8_t header[PROXY_HEADER_MAX];

	memset(header, 0xaa, sizeof header);
	assert_int_equal(proxy_header_write(version, &source, &destination, header), length);
	assert_memory_equal(header, expected, length);
	for (size_t i = length; i < sizeof header && version == PROXY_PROTOCOL_V2; i++) {
		assert_int_equal(header[i], 0xaa);
	}
}

static void assert_v1(
	struct sockaddr_any source, struct sockaddr_any destination, const char *expected)
{
	assert_header(PROXY_PROTOCOL_V1, source, destination, expected, strlen(expected));
}

static void off_writes_nothing(void **state)
{
	(void)state;
	assert_header(PROXY_PROTOCOL_OFF, ip4("10.0.0.1", 1), ip4("10.0.0.2", 2), "", 0);
}

static void version_1_of_ip4(void **state)
{
	(void)state;
	assert_v1(ip4("192.0.2.7", 56324), ip4("198.51.100.1", 443),
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n");
	assert_v1(ip4("255.255.255.255", 65535), ip4("255.255.255.255", 65535),
		"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n");
	assert_v1(ip4("0.0.0.0", 0), ip4("0.0.0.0", 0), "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n");
}

static void version_1_of_ip6(void **state)
{
	static const char longest[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
				      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

	(void)state;
	assert_v1(ip6("2001:db8::7", 4711), ip6("::1", 9000),
		"PROXY TCP6 2001:db8::7 ::1 4711 9000\r\n");
	assert_v1(ip6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
		ip6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535), longest);
	assert_true(sizeof longest - 1 <= 107); /* the limit of the protocol */
}

static void version_1_has_no_dots_in_ip6(void **state)
{
	(void)state;
	assert_v1(ip6("::192.0.2.1", 1), ip6("2001:db8::1", 2),
		"PROXY TCP6 0:0:0:0:0:0:c000:201 2001:db8::1 1 2\r\n");
	assert_v1(ip6("::ffff:192.0.2.1", 1), ip6("2001:db8::1", 2),
		"PROXY TCP6 0:0:0:0:0:ffff:c000:201 2001:db8::1 1 2\r\n");
}

static void mapped_addresses_are_told_as_ip4(void **state)
{
	static const uint8_t expected[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55,
		0x49, 0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04,
		0x01, 0xbb};

	(void)state;
	assert_v1(ip6("::ffff:192.0.2.7", 56324), ip6("::ffff:198.51.100.1", 443),
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n");
	assert_v1(ip4("192.0.2.7", 56324), ip6("::ffff:198.51.100.1", 443),
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n");
	assert_header(PROXY_PROTOCOL_V2, ip6("::ffff:192.0.2.7", 56324),
		ip6("::ffff:198.51.100.1", 443), expected, sizeof expected);
}

static void version_1_says_unknown_of_all_else(void **state)
{
	const struct sockaddr_any unset = {.generic.sa_family = AF_UNSPEC};

	(void)state;
	assert_v1(ip4("192.0.2.7", 1), ip6("2001:db8::1", 2), "PROXY UNKNOWN\r\n");
	assert_v1(ip6("2001:db8::1", 2), ip4("192.0.2.7", 1), "PROXY UNKNOWN\r\n");
	assert_v1(local("", 0), local("/run/x", 6), "PROXY UNKNOWN\r\n");
	assert_v1(unset, unset, "PROXY UNKNOWN\r\n");
	assert_v1(unset, ip4("192.0.2.7", 1), "PROXY UNKNOWN\r\n");
}

static void version_2_of_ip4(void **state)
{
	static const uint8_t expected[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55,
		0x49, 0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 10, 1, 2, 3, 10, 4, 5, 6, 0x12, 0x34,
		0xfe, 0xdc};

	(void)state;
	assert_header(PROXY_PROTOCOL_V2, ip4("10.1.2.3", 0x1234), ip4("10.4.5.6", 0xfedc), expected,
		sizeof expected);
}

static void version_2_of_ip6(void **state)
{
	static const uint8_t expected[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55,
		0x49, 0x54, 0x0a, 0x21, 0x21, 0x00, 0x24, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0x07, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6,
		0x12, 0x67, 0x23, 0x28};

	(void)state;
	assert_header(PROXY_PROTOCOL_V2, ip6("2001:db8::7", 4711),
		ip6("2001:db8:1:2:3:4:5:6", 9000), expected, sizeof expected);
}

/* 108 bytes for each path, filled up with NULs; the length is 216. */
static void version_2_of_unix_sockets(void **state)
{
	static const uint8_t fixed[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
		0x54, 0x0a, 0x21, 0x31, 0x00, 0xd8};
	uint8_t expected[PROXY_HEADER_MAX] = {0};
	char full[108];

	(void)state;
	memcpy(expected, fixed, sizeof fixed);
	memcpy(expected + 16 + 108, "/run/loble.sock", 16);
	assert_header(PROXY_PROTOCOL_V2, local("", 0), local("/run/loble.sock", 16), expected,
		sizeof expected);

	memset(full, 'p', sizeof full);
	memset(expected + 16, 'p', 108);
	memset(expected + 16 + 108, 0, 108);
	memcpy(expected + 16 + 108, "\0name", 6);
	assert_header(PROXY_PROTOCOL_V2, local(full, sizeof full), local("\0name", 5), expected,
		sizeof expected);
}

static void version_2_says_unspecified_of_all_else(void **state)
{
	static const uint8_t expected[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55,
		0x49, 0x54, 0x0a, 0x21, 0x00, 0x00, 0x00};
	const struct sockaddr_any unset = {.generic.sa_family = AF_UNSPEC};

	(void)state;
	assert_header(PROXY_PROTOCOL_V2, ip4("192.0.2.7", 1), ip6("2001:db8::1", 2), expected,
		sizeof expected);
	assert_header(
		PROXY_PROTOCOL_V2, local("/a", 3), ip4("192.0.2.7", 1), expected, sizeof expected);
	assert_header(PROXY_PROTOCOL_V2, unset, unset, expected, sizeof expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_writes_nothing),
		cmocka_unit_test(version_1_of_ip4),
		cmocka_unit_test(version_1_of_ip6),
		cmocka_unit_test(version_1_has_no_dots_in_ip6),
		cmocka_unit_test(mapped_addresses_are_told_as_ip4),
		cmocka_unit_test(version_1_says_unknown_of_all_else),
		cmocka_unit_test(version_2_of_ip4),
		cmocka_unit_test(version_2_of_ip6),
		cmocka_unit_test(version_2_of_unix_sockets),
		cmocka_unit_test(version_2_says_unspecified_of_all_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
