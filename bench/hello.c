#include "bench/hello.h"

#include <string.h>

static const uint32_t magic = 0x10b1e0be;

struct wire {
	uint32_t magic;
	uint32_t stream;
	uint32_t kind;
	uint32_t sum; /* of all that stands here, this as 0 */
	uint64_t request;
	uint64_t response;
};

_Static_assert(sizeof(struct wire) == HELLO_SIZE, "no padding: the sum runs over all bytes");

/* FNV-1a. */
static uint32_t sum_of(struct wire wire)
{
	uint8_t bytes[sizeof wire];
	uint32_t sum = 2166136261U;

	wire.sum = 0;
	memcpy(bytes, &wire, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++) {
		sum = (sum ^ bytes[i]) * 16777619U;
	}
	return sum;
}

void hello_write(const struct hello *hello, uint8_t bytes[HELLO_SIZE])
{
	struct wire wire = {
		.magic = magic,
		.stream = hello->stream,
		.kind = (uint32_t)hello->kind,
		.request = hello->request,
		.response = hello->response,
	};

	wire.sum = sum_of(wire);
	memcpy(bytes, &wire, sizeof wire);
}

bool hello_read(const uint8_t bytes[HELLO_SIZE], struct hello *ret_hello)
{
	struct wire wire;

	memcpy(&wire, bytes, sizeof wire);
	if (wire.magic != magic || wire.sum != sum_of(wire) || wire.kind < HELLO_EXCHANGE ||
		wire.kind >= HELLO_KIND_END || wire.request < HELLO_SIZE) {
		return false;
	}
	*ret_hello = (struct hello){
		.stream = wire.stream,
		.kind = (enum hello_kind)wire.kind,
		.request = wire.request,
		.response = wire.response,
	};
	return true;
}
