#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/rng.h"
#include "base/sockaddr.h"
#include "base/testing.h"

static const char *parse(const char *text, struct address *address)
{
	return address_parse(text, strlen(text), address);
}

static void valid_addresses_are_read_and_printed(void **state)
{
	static const struct {
		const char *text;
		enum address_kind kind;
		int port;
		const char *printed;
	} cases[] = {
		{"127.0.0.1:80", ADDRESS_NUMERIC, 80, "127.0.0.1:80"},
		{"0.0.0.0:65535", ADDRESS_NUMERIC, 65535, "0.0.0.0:65535"},
		{"[::1]:80", ADDRESS_NUMERIC, 80, "[::1]:80"},
		{"[0:0::0:1]:00080", ADDRESS_NUMERIC, 80, "[::1]:80"},
		{"[2001:DB8::A]:1", ADDRESS_NUMERIC, 1, "[2001:db8::a]:1"},
		{"[::ffff:10.0.0.1]:1", ADDRESS_NUMERIC, 1, "[::ffff:10.0.0.1]:1"},
		{"[fe80::1%lo]:80", ADDRESS_NUMERIC, 80, "[fe80::1%lo]:80"},
		{"[fe80::1%1]:80", ADDRESS_NUMERIC, 80, "[fe80::1%lo]:80"},
		{"[fe80::1%99999]:80", ADDRESS_NUMERIC, 80, "[fe80::1%99999]:80"},
		{":9000", ADDRESS_ANY, 9000, ":9000"},
		{"localhost:80", ADDRESS_NAME, 80, "localhost:80"},
		{"a.example.com.:80", ADDRESS_NAME, 80, "a.example.com.:80"},
		{"db_1.x-y.internal:5432", ADDRESS_NAME, 5432, "db_1.x-y.internal:5432"},
		{"10.in-addr:53", ADDRESS_NAME, 53, "10.in-addr:53"},
		{"unix:/run/x.sock", ADDRESS_LOCAL, 0, "unix:/run/x.sock"},
		{"unix:x y:z", ADDRESS_LOCAL, 0, "unix:x y:z"},
		{"unix:@abstract", ADDRESS_LOCAL, 0, "unix:@abstract"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct address address;
		char text[ADDRESS_HOST_MAX + 8];

		assert_null(parse(cases[i].text, &address));
		assert_int_equal(address.kind, cases[i].kind);
		assert_int_equal(address.port, cases[i].port);
		assert_string_equal(address_text(&address, text), cases[i].printed);
		if (address.kind == ADDRESS_NUMERIC) {
			assert_int_equal(sockaddr_port(&address.numeric), cases[i].port);
		}
	}
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *text;
		const char *part; /* of the sentence */
	} cases[] = {
		{"", "empty"},
		{"localhost", "port is missing"},
		{"10.0.0.1", "port is missing"},
		{"9000", "host is missing"},
		{"localhost:", "port is missing"},
		{"localhost:http", "not a number"},
		{"localhost: 80", "not a number"},
		{"localhost:-1", "not a number"},
		{"localhost:+80", "not a number"},
		{"localhost:0", "out of range"},
		{"localhost:65536", "out of range"},
		{"localhost:99999999999999999999999999", "out of range"},
		{"::1:80", "brackets"},
		{"::1", "brackets"},
		{"[::1]", "port is missing"},
		{"[::1", "closing"},
		{"[", "closing"},
		{"[]:80", "no valid IPv6"},
		{"[10.0.0.1]:80", "no valid IPv6"},
		{"[::1::2]:80", "no valid IPv6"},
		{"[fe80::1%]:80", "interface"},
		{"[fe80::1%nosuchif]:80", "no such network interface"},
		{"[fe80::1%averyveryverylongname]:80", "not a valid name"},
		{"[::1]x:80", "port is missing"},
		{"[::1]:0", "out of range"},
		{"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:80", "no valid IPv6"},
		{"10.0.0.256:80", "not a valid IPv4"},
		{"10.0.0:80", "not a valid IPv4"},
		{"010.0.0.1:80", "not a valid IPv4"},
		{"1:80", "not a valid IPv4"},
		{"http://a:80", "scheme"},
		{"a b:80", "neither"},
		{"-a:80", "neither"},
		{"a-:80", "neither"},
		{"a-.b:80", "neither"},
		{"a..b:80", "neither"},
		{".:80", "neither"},
		{"*:80", "neither"},
		{"\xc3\xa9:80", "neither"},
		{"unix:", "path is missing"},
		{"unix:@", "path is missing"},
		{"unix:/a\nb", "control character"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct address address = {.port = 4711};
		const char *mistake = parse(cases[i].text, &address);

		assert_non_null(mistake);
		if (strstr(mistake, cases[i].part) == NULL) {
			fail_msg("%s: %s", cases[i].text, mistake);
		}
		assert_int_equal(address.port, 4711); /* untouched */
	}
}

static void a_nul_byte_ends_nothing(void **state)
{
	struct address address;

	(void)state;
	assert_non_null(address_parse("[::1\0]:80", 9, &address));
	assert_non_null(address_parse("a\0b:80", 6, &address));
	assert_non_null(address_parse("1.2.3.4\0:80", 11, &address));
	assert_non_null(address_parse("unix:/a\0b", 9, &address));
	assert_non_null(address_parse("[fe80::1%l\0]:80", 15, &address));
}

static void lengths_are_limited(void **state)
{
	char text[400];
	struct address address;
	char printed[ADDRESS_HOST_MAX + 8];

	(void)state;
	memset(text, 'a', sizeof text);
	for (size_t i = 60; i < sizeof text; i += 60) {
		text[i] = '.';
	}
	memcpy(text + 253, ":65535", 6);
	assert_null(address_parse(text, 259, &address));
	assert_int_equal(strlen(address_text(&address, printed)), 259);
	memset(text + 253, 'a', 1);
	memcpy(text + 254, ":80", 3);
	assert_non_null(address_parse(text, 257, &address));

	memset(text, 'a', 64);
	memcpy(text + 64, ":80", 3);
	assert_non_null(address_parse(text, 67, &address));
	assert_null(address_parse(text + 1, 66, &address));

	memcpy(text, "unix:", 5);
	memset(text + 5, 'x', 108);
	assert_null(address_parse(text, 5 + 107, &address));
	assert_int_equal(strlen(address_text(&address, printed)), 5 + 107);
	assert_non_null(address_parse(text, 5 + 108, &address));
	text[5] = '@';
	assert_null(address_parse(text, 5 + 107, &address));
	assert_int_equal(strlen(address_text(&address, printed)), 5 + 107);
}

static void equal_means_the_same_endpoint(void **state)
{
	static const char *const texts[] = {"127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80",
		"[::1]:80", "[::1]:81", "[::2]:80", "[fe80::1%1]:80", "[fe80::1%2]:80", "unix:/a",
		"unix:/b", "unix:/aa", "unix:@a", "unix:@/a"};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		for (size_t k = 0; k < ARRAY_COUNT(texts); k++) {
			struct address a;
			struct address b;

			assert_null(parse(texts[i], &a));
			assert_null(parse(texts[k], &b));
			assert_int_equal(sockaddr_equal(&a.numeric, &b.numeric), i == k);
		}
	}
}

static void what_the_kernel_gives_is_printed(void **state)
{
	struct sockaddr_any unnamed = {.length = sizeof(sa_family_t), .local.sun_family = AF_UNIX};
	struct sockaddr_any odd = {
		.length = sizeof(struct sockaddr), .generic.sa_family = AF_APPLETALK};
	struct sockaddr_any full = {.length = sizeof full.local + 1, .local.sun_family = AF_UNIX};
	struct address unset = {0};
	char text[SOCKADDR_TEXT_MAX];
	char address[ADDRESS_HOST_MAX + 8];

	(void)state;
	assert_string_equal(sockaddr_text(&unnamed, text), "unix:");
	assert_string_equal(sockaddr_text(&odd, text), "unknown");
	assert_int_equal(sockaddr_port(&odd), 0);
	assert_false(sockaddr_equal(&odd, &odd));
	memset(full.local.sun_path, '\n', sizeof full.local.sun_path);
	assert_int_equal(strlen(sockaddr_text(&full, text)), 5 + 108);
	assert_string_equal(text + 5 + 105, "???");
	assert_string_equal(address_text(&unset, address), "");
}

/* Whatever parses prints to a text that parses to the same. */
static void printed_addresses_parse_to_the_same(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, 5);
	for (int i = 0; i < 20000; i++) {
		struct sockaddr_any any = {.length = sizeof any.ip4, .ip4.sin_family = AF_INET};
		struct address again;
		char text[SOCKADDR_TEXT_MAX];

		if (i % 2 == 0) {
			any.ip4.sin_addr.s_addr = (in_addr_t)rng_next(&rng);
			any.ip4.sin_port = htons((uint16_t)(1 + rng_below(&rng, 65535)));
		} else {
			any.length = sizeof any.ip6;
			any.ip6.sin6_family = AF_INET6;
			any.ip6.sin6_port = htons((uint16_t)(1 + rng_below(&rng, 65535)));
			for (int k = 0; k < 16; k++) {
				any.ip6.sin6_addr.s6_addr[k] =
					rng_below(&rng, 2) ? (uint8_t)rng_next(&rng) : 0;
			}
		}
		assert_null(parse(sockaddr_text(&any, text), &again));
		assert_true(sockaddr_equal(&any, &again.numeric));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_addresses_are_read_and_printed),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(a_nul_byte_ends_nothing),
		cmocka_unit_test(lengths_are_limited),
		cmocka_unit_test(equal_means_the_same_endpoint),
		cmocka_unit_test(what_the_kernel_gives_is_printed),
		cmocka_unit_test(printed_addresses_parse_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
