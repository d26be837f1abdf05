#include "config/print.h"
#include "config/testing.h"

static void the_sample_loads_without_a_word(void **state)
{
	char *sample = written_by(config_sample);
	struct diag *diag = diag_create();
	struct config *config = config_load_text(sample, strlen(sample), "sample", diag);
	char *messages = messages_of(diag);

	(void)state;
	assert_string_equal(messages, "");
	assert_non_null(config);
	assert_true(config->metrics.enabled);
	assert_int_equal(config->pools[0].backend_count, 2);
	config_free(config);
	free(messages);
	free(sample);
	diag_free(diag);
}

/* "# key = value" is an offer: whoever takes it must not be disappointed. */
static void so_it_does_with_all_comments_taken(void **state)
{
	char *sample = written_by(config_sample);
	unsigned taken = 0;

	(void)state;
	for (char *line = sample; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (line[0] == '#' && strcspn(line, "=") < strcspn(line, "\n")) {
			line[0] = ' ';
			taken++;
		}
	}
	assert_true(taken >= 8);
	config_free(load_valid(sample));
	free(sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sample_loads_without_a_word),
		cmocka_unit_test(so_it_does_with_all_comments_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
