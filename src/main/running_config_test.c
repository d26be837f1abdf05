#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "config/config.h"
#include "config/diag.h"
#include "config/print.h"
#include "main/running_config.h"
#include "model/shm.h"

static struct config *load(const char *text)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, strlen(text), "test", diag);

	diag_free(diag);
	assert_non_null(config);
	return config;
}

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	config_print(config, file);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void a_successor_reads_what_was_kept(void **state)
{
	struct config *config =
		load("[listener]\naddress = ':1'\n[[backends]]\naddress = 'h:1'\nweight = 7\n");
	struct diag *diag = diag_create();
	struct shm shm;
	struct config *again;
	char *before;
	char *after;

	(void)state;
	assert_int_equal(shm_create(1, 1, &shm, NULL), 0);
	assert_null(running_config_load(&shm, diag));
	assert_int_equal(running_config_store(&shm, config, NULL), 0);
	again = running_config_load(&shm, diag);
	assert_non_null(again);
	before = print(config);
	after = print(again);
	assert_string_equal(before, after);
	free(before);
	free(after);
	config_free(again);
	config_free(config);
	diag_free(diag);
	shm_destroy(&shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_successor_reads_what_was_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
