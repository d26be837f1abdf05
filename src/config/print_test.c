#include <inttypes.h>

#include "base/array.h"
#include "base/rng.h"
#include "base/units.h"
#include "config/arguments.h"
#include "config/print.h"
#include "config/sections.h"
#include "config/testing.h"

/* --- Whether two configurations are the same, by the rows and not by their bytes. --- */

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_member(const struct field *field, const char *a, const char *b)
{
	char text_a[ADDRESS_HOST_MAX + 8];
	char text_b[ADDRESS_HOST_MAX + 8];

	switch (field->type) {
	case FIELD_STRING:
		return same_text(*(const char *const *)(const void *)a,
			*(const char *const *)(const void *)b);
	case FIELD_ADDRESS:
		return strcmp(address_text((const struct address *)(const void *)a, text_a),
			       address_text((const struct address *)(const void *)b, text_b)) == 0;
	case FIELD_BOOL:
	case FIELD_UINT:
	case FIELD_DURATION:
	case FIELD_SIZE:
	case FIELD_CHOICE:
	case FIELD_RATIO:
	case FIELD_MODE:
		return memcmp(a, b, field->size) == 0;
	}
	return false;
}

static void assert_same(const struct field *fields, const void *a, const void *b, size_t size)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (field->offset < size &&
			!same_member(field, (const char *)a + field->offset,
				(const char *)b + field->offset)) {
			fail_msg("'%s' differs", field->key);
		}
	}
}

static void assert_same_listener(const struct config *a, const struct config *b, uint32_t i)
{
	const struct config_listener_draft of_a = {
		a->listeners[i], a->pools[a->listeners[i].pool].name};
	const struct config_listener_draft of_b = {
		b->listeners[i], b->pools[b->listeners[i].pool].name};

	assert_same(listener_fields, &of_a, &of_b, sizeof of_a);
}

static void assert_same_pool(const struct config_pool *a, const struct config_pool *b)
{
	assert_string_equal(a->name, b->name);
	assert_same(pool_fields, a, b, sizeof *a);
	assert_same(health_fields, &a->health, &b->health, sizeof a->health);
	assert_int_equal(a->backend_count, b->backend_count);
	for (uint32_t i = 0; i < a->backend_count; i++) {
		assert_same(
			backend_fields, &a->backends[i], &b->backends[i], sizeof a->backends[i]);
	}
}

static void assert_same_config(const struct config *a, const struct config *b)
{
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		if (section->form == FORM_BOTH && section->target == 0) {
			assert_same(section->fields, a, b, sizeof *a);
		}
	}
	assert_int_equal(a->listener_count, b->listener_count);
	for (uint32_t i = 0; i < a->listener_count; i++) {
		assert_same_listener(a, b, i);
	}
	assert_int_equal(a->pool_count, b->pool_count);
	for (uint32_t i = 0; i < a->pool_count; i++) {
		assert_same_pool(&a->pools[i], &b->pools[i]);
	}
}

static struct config *load_printed(const char *text, size_t length)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_printed(text, length, diag);

	if (config == NULL) {
		diag_print(diag, stderr);
	}
	diag_free(diag);
	assert_non_null(config);
	return config;
}

/* Prints and loads again: must be the same. */
static void assert_prints_alike(struct config *config)
{
	struct config *again;
	char *printed = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&printed, &length);

	config_print(config, file);
	assert_int_equal(fclose(file), 0);
	again = load_printed(printed, length);
	assert_same_config(config, again);
	config_free(again);
	config_free(config);
	free(printed);
}

static void assert_survives_printing(const char *text)
{
	assert_prints_alike(load_valid(text));
}

/* --- Random configurations, made from the rows. --- */

struct maker {
	struct rng rng;
	FILE *file;
	unsigned serial; /* makes names and addresses that are used once */
};

static uint64_t number_in(struct maker *maker, const struct field *field)
{
	const uint64_t span = field_max(field) - field->min;
	const uint32_t kind = rng_below(&maker->rng, 4);

	if (kind == 0) {
		return field->min;
	}
	return kind == 1 ? field_max(field) : field->min + rng_next(&maker->rng) % (span + 1);
}

static void make_name(struct maker *maker)
{
	static const char *const odd[] = {"a b", "\xc3\xa9", "\\\"quoted\\\"", "c:\\\\d", "#x",
		"[y]", "'z'", "=", "\xf0\x9f\x98\x80"};

	(void)fprintf(maker->file, "\"%s-%u\"", odd[rng_below(&maker->rng, ARRAY_COUNT(odd))],
		maker->serial++);
}

static void make_address(struct maker *maker, const struct field *field)
{
	const unsigned serial = maker->serial++;
	const unsigned port = 1 + serial % 65535;

	switch (rng_below(&maker->rng, 5)) {
	case 0:
		if ((field->kinds & ADDRESS_USE_ANY) != 0) {
			(void)fprintf(maker->file, "\":%u\"", port);
			return;
		}
		break;
	case 1:
		if ((field->kinds & ADDRESS_USE_NAME) != 0) {
			(void)fprintf(maker->file, "\"Host-%u.example:%u\"", serial, port);
			return;
		}
		break;
	case 2:
		if ((field->kinds & ADDRESS_USE_LOCAL) != 0) {
			(void)fprintf(maker->file, "\"unix:/run/a b \\\" \\\\ %u\"", serial);
			return;
		}
		break;
	case 3:
		(void)fprintf(maker->file, "\"[2001:db8::%x]:%u\"", serial, port);
		return;
	default:
		break;
	}
	(void)fprintf(maker->file, "\"10.%u.%u.1:%u\"", serial >> 8 & 255, serial & 255, port);
}

static void make_value(struct maker *maker, const struct field *field)
{
	const uint64_t number = number_in(maker, field);
	char text[UNITS_TEXT_MAX];

	switch (field->type) {
	case FIELD_BOOL:
		(void)fputs(rng_below(&maker->rng, 2) ? "true" : "false", maker->file);
		break;
	case FIELD_UINT:
		(void)fprintf(maker->file, "%" PRIu64, number);
		break;
	case FIELD_DURATION:
		(void)fprintf(maker->file, "\"%s\"",
			field->off && rng_below(&maker->rng, 3) == 0 ? "off"
								     : duration_text(number, text));
		break;
	case FIELD_SIZE:
		(void)fprintf(maker->file, "\"%s\"", size_text(number, text));
		break;
	case FIELD_CHOICE: {
		uint32_t count = 0;

		while (field->choices[count] != NULL) {
			count++;
		}
		(void)fprintf(maker->file, "\"%s\"", field->choices[rng_below(&maker->rng, count)]);
		break;
	}
	case FIELD_STRING:
		make_name(maker);
		break;
	case FIELD_ADDRESS:
		make_address(maker, field);
		break;
	case FIELD_RATIO:
		(void)fprintf(maker->file, "%.17g",
			(double)(rng_next(&maker->rng) >> 11) / (double)(UINT64_C(1) << 53));
		break;
	case FIELD_MODE:
		(void)fprintf(maker->file, "\"%03o\"", (unsigned)number);
		break;
	}
}

static void make_fields(struct maker *maker, const struct field *fields, const char *pool)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (strcmp(field->key, "pool") == 0) {
			(void)fprintf(maker->file, "pool = \"%s\"\n", pool);
		} else if (field->required || rng_below(&maker->rng, 2) != 0) {
			(void)fprintf(maker->file, "%s = ", field->key);
			make_value(maker, field);
			(void)fputc('\n', maker->file);
		}
	}
}

static char *make_config(uint64_t seed)
{
	struct maker maker = {.serial = 1};
	char *text = NULL;
	size_t length = 0;
	uint32_t pools;

	rng_init(&maker.rng, seed);
	maker.file = open_memstream(&text, &length);
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		if (section->form == FORM_BOTH && rng_below(&maker.rng, 3) != 0) {
			(void)fprintf(maker.file, "[%s]\n", section->path);
			make_fields(&maker, section->fields, NULL);
		}
	}
	pools = 1 + rng_below(&maker.rng, 3);
	for (uint32_t pool = 0; pool < pools; pool++) {
		char name[32];

		(void)snprintf(name, sizeof name, "p.%u \\\"x\\\"", pool);
		(void)fprintf(maker.file, "[[listeners]]\n");
		make_fields(&maker, listener_fields, name);
		(void)fprintf(maker.file, "[pools.\"%s\"]\n", name);
		make_fields(&maker, pool_fields, NULL);
		(void)fprintf(maker.file, "[pools.\"%s\".health]\n", name);
		make_fields(&maker, health_fields, NULL);
		for (uint32_t i = 0; i <= rng_below(&maker.rng, 4); i++) {
			(void)fprintf(maker.file, "[[pools.\"%s\".backends]]\n", name);
			make_fields(&maker, backend_fields, NULL);
		}
	}
	assert_int_equal(fclose(maker.file), 0);
	return text;
}

static void every_configuration_survives_printing(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 500; seed++) {
		char *text = make_config(seed);

		assert_survives_printing(text);
		free(text);
	}
}

static void both_forms_survive_printing(void **state)
{
	(void)state;
	assert_survives_printing(WITH_LISTENER WITH_BACKEND);
	assert_survives_printing(
		"[listener]\naddress = ':1'\nname = 'web'\nidle = 'off'\n" WITH_BACKEND
		"weight = 0\n[[backends]]\naddress = 'b:1'\n[health]\nmax_ejected = 0\n"
		"[timeouts]\nconnect = '9s'\nhalf_close = '1ms'\n[metrics]\n");
}

static void the_command_line_survives_printing(void **state)
{
	static const char *const backends[] = {"127.0.0.1:80", "[::1]:81", "unix:/a 'b\"c", "h:1"};
	struct diag *diag = diag_create();
	struct config *config = config_from_arguments(":1", backends, ARRAY_COUNT(backends), diag);

	(void)state;
	assert_non_null(config);
	diag_free(diag);
	assert_prints_alike(config);
}

/* As many backends as there may be, in a file of nearly the size that it may have. */
static void the_largest_configuration_survives_printing(void **state)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	(void)fprintf(file, "[[listeners]]\naddress = ':1'\n[pools.'%0100d']\nbackends = [\n", 0);
	for (unsigned i = 0; i < CONFIG_BACKENDS_MAX; i++) {
		(void)fprintf(
			file, "{address = '%u.%0*u.example:80', name = '%0127u'},\n", i, 62, i, i);
		if (i % 2 == 1) {
			(void)fprintf(file, "# %0350u\n", i);
		}
	}
	(void)fputs("]\n", file);
	assert_int_equal(fclose(file), 0);
	assert_true(length > 4000000);
	assert_survives_printing(text);
	free(text);
}

/* To be freed. */
static char *print_of(const char *text)
{
	struct config *config = load_valid(text);
	char *printed = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&printed, &length);

	config_print(config, file);
	assert_int_equal(fclose(file), 0);
	config_free(config);
	return printed;
}

static void numbers_with_a_point_keep_it_and_no_more(void **state)
{
	static const char *const numbers[][2] = {{"0", "0.0"}, {"1", "1.0"}, {"0.1", "0.1"},
		{"0.25", "0.25"}, {"1e-9", "1e-09"},
		{"0.30000000000000004", "0.30000000000000004"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		char text[200];
		char *printed;

		(void)snprintf(text, sizeof text, "%s[access_log]\nsample = %s\n",
			WITH_LISTENER WITH_BACKEND, numbers[i][0]);
		printed = print_of(text);
		(void)snprintf(text, sizeof text, "\nsample = %s\n", numbers[i][1]);
		assert_contains(printed, text);
		free(printed);
	}
}

static void it_is_written_as_an_operator_would(void **state)
{
	char *printed = print_of("[[listeners]]\naddress = ':1'\npool = 'a-1'\n"
				 "[pools.a-1]\n[[pools.a-1.backends]]\naddress = 'h:1'\n"
				 "name = \"\xc2\x9b[31m\"\n"
				 "[[listeners]]\naddress = ':2'\npool = 'b c'\n"
				 "[pools.'b c']\n[[pools.'b c'.backends]]\naddress = 'h:1'\n");

	(void)state;
	assert_contains(printed, "\n[pools.a-1]\n");
	assert_contains(printed, "\n[[pools.a-1.backends]]\n");
	assert_contains(printed, "\n[pools.\"b c\".health]\n");
	assert_contains(printed, "\nname = \"\\u009B[31m\"\n");
	assert_null(strstr(printed, "[admin]")); /* there is nothing in it */
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_configuration_survives_printing),
		cmocka_unit_test(both_forms_survive_printing),
		cmocka_unit_test(the_command_line_survives_printing),
		cmocka_unit_test(the_largest_configuration_survives_printing),
		cmocka_unit_test(numbers_with_a_point_keep_it_and_no_more),
		cmocka_unit_test(it_is_written_as_an_operator_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
