#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append_description(struct error *err)
{
	const size_t used = strlen(err->text);
	const char *description = strerrordesc_np(err->code);

	(void)snprintf(err->text + used, sizeof err->text - used, ": %s",
		description != NULL ? description : "unknown error");
}

int error_set(struct error *err, int code, const char *format, ...)
{
	va_list args;

	assert(code > 0);
	if (err != NULL) {
		err->code = code;
		va_start(args, format);
		(void)vsnprintf(err->text, sizeof err->text, format, args);
		va_end(args);
		append_description(err);
	}
	return -code;
}

int error_say(struct error *err, int code, const char *format, ...)
{
	va_list args;

	assert(code > 0);
	if (err != NULL) {
		err->code = code;
		va_start(args, format);
		(void)vsnprintf(err->text, sizeof err->text, format, args);
		va_end(args);
	}
	return -code;
}
