/*
 * Any bytes as a shared memory: what passes layout_read() is converted into this program's own
 * layout, to see that nothing outside of it is read or written.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/convert.h"
#include "model/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TARGET_BYTES = 4096 };

/* One part like any of the first two of the input, with a field of each kind. */
static void make_target(const struct layout *from, struct layout *to)
{
	memset(to, 0, sizeof *to);
	to->head = from->head;
	to->head.bytes = TARGET_BYTES;
	to->head.part_count = 1;
	to->parts[0] = from->parts[0];
	to->parts[0].offset = 0;
	to->parts[0].stride = 64;
	to->parts[0].groups = from->parts[0].groups;
	to->parts[0].entries = TARGET_BYTES / 64 / 4;
	for (uint16_t i = 0; i < 4; i++) {
		to->fields[i] = (struct layout_field){.part = (uint16_t)from->parts[0].id,
			.id = (uint16_t)(i + 1),
			.kind = (uint16_t)(i + 1),
			.offset = 16U * i,
			.bytes = 1U << i,
			.count = 2,
			.stride = 8,
			.initial = UINT64_MAX};
	}
	to->head.field_count = 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct layout from;
	static struct layout to;
	struct error err = {0};
	uint8_t *copy = malloc(size + 1);
	uint8_t *target = calloc(1, TARGET_BYTES);

	if (copy == NULL || target == NULL) {
		abort();
	}
	/* The size is not for the fuzzer to guess. */
	memcpy(copy, data, size);
	if (size >= sizeof(struct layout_head)) {
		const uint64_t bytes = size;

		memcpy(copy + offsetof(struct layout_head, bytes), &bytes, sizeof bytes);
	}
	if (layout_read(copy, size, &from, &err) == 0) {
		const struct convert_source source = {&from, copy, -1};

		make_target(&from, &to);
		(void)convert_memory(&source, &to, NULL, &err);
		if (to.parts[0].groups <= 4) {
			(void)convert_memory(&source, &to, target, &err);
		}
	} else if (err.text[0] == '\0') {
		abort(); /* refused without a reason */
	}
	free(copy);
	free(target);
	return 0;
}
