#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "flow.h"

enum { LENGTH = 5000 };

static const uint32_t KEY = 77 << 1;

static void parts_of_a_stream_fit_together(void **state)
{
	uint8_t whole[LENGTH];
	uint8_t part[LENGTH];

	(void)state;
	pattern_fill(KEY, 0, whole, sizeof whole);
	for (size_t from = 0; from < 100; from++) {
		for (size_t length = 1; length < 100; length++) {
			pattern_fill(KEY, from, part, length);
			assert_memory_equal(part, whole + from, length);
			assert_int_equal(pattern_match(KEY, from, whole + from, length), length);
		}
	}
}

static void a_changed_byte_is_found_where_it_is(void **state)
{
	uint8_t bytes[LENGTH];

	(void)state;
	pattern_fill(KEY, 12345, bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] ^= 0x10;
		assert_int_equal(pattern_match(KEY, 12345, bytes, sizeof bytes), i);
		bytes[i] ^= 0x10;
	}
}

/* Feeds a stream of which the bytes from `wrong` on are `bytes`; what is found. */
static struct finding feed(uint64_t wrong, const uint8_t *bytes, size_t length)
{
	struct in_flow flow = {.key = KEY};
	uint8_t right[LENGTH];

	pattern_fill(KEY, 0, right, (size_t)wrong);
	assert_int_equal(in_flow_feed(&flow, right, (size_t)wrong), IN_FINE);
	assert_int_equal(in_flow_feed(&flow, bytes, length), IN_WRONG);
	assert_int_equal(flow.position, wrong);
	return in_flow_diagnose(&flow);
}

static void what_is_wrong_is_told_apart(void **state)
{
	uint8_t bytes[LENGTH];
	struct finding finding;

	(void)state;
	pattern_fill(KEY, 1024, bytes, sizeof bytes);
	bytes[0] ^= 1;
	assert_int_equal(feed(1024, bytes, sizeof bytes).fault, FAULT_DAMAGED);

	pattern_fill(KEY, 1777, bytes, sizeof bytes);
	finding = feed(1024, bytes, sizeof bytes);
	assert_int_equal(finding.fault, FAULT_DISPLACED);
	assert_int_equal(finding.position, 1777);

	pattern_fill(KEY + 2, 1024, bytes, sizeof bytes);
	finding = feed(1024, bytes, sizeof bytes);
	assert_int_equal(finding.fault, FAULT_STRANGER);
	assert_int_equal(finding.key, KEY + 2);
	assert_int_equal(finding.position, 1024);
}

/* Sends a whole stream through a socket pair, byte by byte at the far end. */
static void send_stream(struct out_flow *out, struct in_flow *in, size_t length)
{
	uint64_t sent = 0;
	int pair[2];
	uint8_t byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	out->key = in->key = KEY;
	out->target = length;
	assert_int_equal(out_flow_pump(out, pair[0], &sent), OUT_DONE);
	while (read(pair[1], &byte, 1) == 1) {
		assert_int_equal(in_flow_feed(in, &byte, 1), IN_FINE);
	}
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void a_stream_ends_in_order_with_its_mark_alone(void **state)
{
	(void)state;
	for (size_t length = 0; length < 100; length++) {
		struct out_flow out = {.ending = true, .prefix_length = 16, .prefix = "greeting"};
		struct in_flow in = {.prefix_length = 16};

		send_stream(&out, &in, length);
		assert_int_equal(in.position, length);
		assert_int_equal(in.prefix_got, 16);
		assert_memory_equal(in.prefix, "greeting", 8);
		assert_int_equal(in_flow_end(&in), END_IN_ORDER);
	}
}

static void a_stream_without_its_whole_mark_is_cut(void **state)
{
	uint8_t bytes[100 + END_MARK_BYTES];

	(void)state;
	pattern_fill(KEY, 0, bytes, 100);
	wire_end_mark(KEY, 100, bytes + 100);
	for (size_t length = 0; length < sizeof bytes; length++) {
		struct in_flow in = {.key = KEY};

		assert_int_equal(in_flow_feed(&in, bytes, length), IN_FINE);
		assert_int_equal(in_flow_end(&in), END_TOO_EARLY);
	}
}

static void a_mark_of_another_place_is_wrong(void **state)
{
	uint8_t bytes[100 + END_MARK_BYTES];
	struct in_flow in = {.key = KEY};

	(void)state;
	pattern_fill(KEY, 0, bytes, 100);
	wire_end_mark(KEY, 132, bytes + 100);
	assert_int_equal(in_flow_feed(&in, bytes, sizeof bytes), IN_FINE);
	assert_int_equal(in_flow_end(&in), END_WRONG);
}

static void bytes_after_the_mark_are_wrong(void **state)
{
	uint8_t bytes[END_MARK_BYTES + 1];
	struct in_flow in = {.key = KEY};

	(void)state;
	wire_end_mark(KEY, 0, bytes);
	bytes[END_MARK_BYTES] = 0;
	assert_int_equal(in_flow_feed(&in, bytes, sizeof bytes), IN_FINE);
	assert_int_equal(in_flow_end(&in), END_WRONG);
}

static void a_hello_that_was_changed_is_none(void **state)
{
	struct hello hello = {.session = 5, .class = CLASS_PING, .nonce = 9};

	(void)state;
	wire_seal(&hello);
	assert_true(wire_hello_ok(&hello));
	for (size_t i = 0; i < sizeof hello; i++) {
		uint8_t *byte = (uint8_t *)&hello + i;

		*byte ^= 4;
		assert_false(wire_hello_ok(&hello));
		*byte ^= 4;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_a_stream_fit_together),
		cmocka_unit_test(a_changed_byte_is_found_where_it_is),
		cmocka_unit_test(what_is_wrong_is_told_apart),
		cmocka_unit_test(a_stream_ends_in_order_with_its_mark_alone),
		cmocka_unit_test(a_stream_without_its_whole_mark_is_cut),
		cmocka_unit_test(a_mark_of_another_place_is_wrong),
		cmocka_unit_test(bytes_after_the_mark_are_wrong),
		cmocka_unit_test(a_hello_that_was_changed_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
