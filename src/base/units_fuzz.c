/* Any bytes as a duration and as a size: what is one prints to a text of the same number. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth)
{
	if (!truth) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t number;
	uint64_t again;
	char text[UNITS_TEXT_MAX];

	if (duration_parse((const char *)data, size, &number) == NULL) {
		duration_text(number, text);
		demand(duration_parse(text, strlen(text), &again) == NULL && again == number);
	}
	if (size_parse((const char *)data, size, &number) == NULL) {
		size_text(number, text);
		demand(size_parse(text, strlen(text), &again) == NULL && again == number);
	}
	/* What is one is guessed to be itself. */
	if (duration_parse((const char *)data, size, &number) == NULL) {
		demand(duration_guess((const char *)data, size, &again) && again == number);
	} else {
		(void)duration_guess((const char *)data, size, &again);
	}
	if (size_parse((const char *)data, size, &number) == NULL) {
		demand(size_guess((const char *)data, size, &again) && again == number);
	} else {
		(void)size_guess((const char *)data, size, &again);
	}
	return 0;
}
