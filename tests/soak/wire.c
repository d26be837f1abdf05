#include "wire.h"

#include <assert.h>
#include <string.h>

#include "pattern.h"

static const uint64_t GREETING_MAGIC = 0x676e697465657267;
static const uint64_t HELLO_MAGIC = 0x6f6c6c65685f6f68;

static_assert(sizeof(struct greeting) == GREETING_BYTES, "as sent");
static_assert(sizeof(struct hello) == HELLO_BYTES, "as sent");

static const char *const class_names[CLASS_COUNT] = {
	[CLASS_PROBE] = "probe",
	[CLASS_PING] = "ping",
	[CLASS_SHORT] = "short",
	[CLASS_BULK_UP] = "bulk_up",
	[CLASS_BULK_DOWN] = "bulk_down",
	[CLASS_BULK_BOTH] = "bulk_both",
	[CLASS_SLOW_CLIENT] = "slow_client",
	[CLASS_SLOW_BACKEND] = "slow_backend",
	[CLASS_HALF_UP] = "half_up",
	[CLASS_HALF_DOWN] = "half_down",
	[CLASS_IDLE] = "idle",
	[CLASS_SILENT] = "silent",
	[CLASS_ABORT] = "abort",
	[CLASS_ABORTED] = "aborted",
};

const char *wire_class_name(enum session_class class)
{
	return class_names[class];
}

struct greeting wire_greeting(uint64_t nonce)
{
	return (struct greeting){.magic = GREETING_MAGIC ^ pattern_mix(nonce), .nonce = nonce};
}

bool wire_greeting_ok(const struct greeting *greeting)
{
	return greeting->magic == (GREETING_MAGIC ^ pattern_mix(greeting->nonce));
}

bool wire_proxy_header_ok(const uint8_t header[static PROXY_HEADER_BYTES])
{
	static const uint8_t start[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
		0x54, 0x0a, 0x21, 0x11, 0, 12};

	return memcmp(header, start, sizeof start) == 0;
}

static uint64_t hello_sum(const struct hello *hello)
{
	uint64_t words[HELLO_BYTES / sizeof(uint64_t)];
	uint64_t sum = 0;

	memcpy(words, hello, sizeof words);
	for (size_t i = 0; i + 1 < sizeof words / sizeof words[0]; i++) {
		sum = pattern_mix(sum ^ words[i]);
	}
	return sum;
}

void wire_seal(struct hello *hello)
{
	hello->magic = HELLO_MAGIC;
	hello->check = hello_sum(hello);
}

bool wire_hello_ok(const struct hello *hello)
{
	return hello->magic == HELLO_MAGIC && hello->class < CLASS_COUNT &&
		hello->check == hello_sum(hello);
}

void wire_end_mark(uint32_t key, uint64_t position, uint8_t mark[static END_MARK_BYTES])
{
	const uint64_t sum = pattern_mix(pattern_mix(key) ^ position);
	uint8_t here;

	pattern_fill(key, position, &here, 1);
	mark[0] = (uint8_t)~here;
	memset(mark + 1, 'E', 7);
	memcpy(mark + 8, &sum, sizeof sum);
}

static uint32_t size_of(enum session_class class, uint64_t dice)
{
	enum { SMALL = 200, MIDDLE = 1500, LARGE = 300000, SHORT_LARGE = 30000 };

	if (class == CLASS_PROBE) {
		return 1 + (uint32_t)(dice % SMALL);
	}
	if (dice % 64 == 0) {
		dice /= 64;
		return 1 + (uint32_t)(dice % (class == CLASS_SHORT ? SHORT_LARGE : LARGE));
	}
	return 1 + (uint32_t)(dice / 64 % MIDDLE);
}

uint32_t wire_request_bytes(enum session_class class, uint32_t session, uint64_t round)
{
	return size_of(class, pattern_mix(pattern_mix(session) + 2 * round));
}

uint32_t wire_response_bytes(enum session_class class, uint32_t session, uint64_t round)
{
	return size_of(class, pattern_mix(pattern_mix(session) + 2 * round + 1));
}
