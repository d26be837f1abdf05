#include "base/testing.h"
#include "bench/hello.h"

static const struct hello sample = {
	.stream = 0xfffffffe,
	.kind = HELLO_UPLOAD,
	.request = 1ULL << 33,
	.response = 64,
};

static void what_was_written_is_read(void **state)
{
	uint8_t bytes[HELLO_SIZE];
	struct hello hello;

	(void)state;
	hello_write(&sample, bytes);
	assert_true(hello_read(bytes, &hello));
	assert_int_equal(sample.stream, hello.stream);
	assert_int_equal(sample.kind, hello.kind);
	assert_int_equal(sample.request, hello.request);
	assert_int_equal(sample.response, hello.response);
}

static void any_changed_bit_is_refused(void **state)
{
	uint8_t bytes[HELLO_SIZE];
	struct hello hello;

	(void)state;
	hello_write(&sample, bytes);
	for (unsigned bit = 0; bit < 8 * HELLO_SIZE; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(hello_read(bytes, &hello));
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}

static void senseless_requests_are_refused(void **state)
{
	static const struct hello wrong[] = {
		{.kind = HELLO_KIND_END, .request = HELLO_SIZE},
		{.kind = HELLO_EXCHANGE, .request = HELLO_SIZE - 1},
	};
	uint8_t bytes[HELLO_SIZE];
	struct hello hello;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		hello_write(&wrong[i], bytes);
		assert_false(hello_read(bytes, &hello));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(any_changed_bit_is_refused),
		cmocka_unit_test(senseless_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
