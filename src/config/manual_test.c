/*
 * The list of options in loble.toml(5) is the one that the rows make: nothing is missing there, and
 * nothing is there that does not exist. With --update the list is written anew. The example of the
 * page is loaded.
 */
#include "config/print.h"
#include "config/testing.h"

static const char page_path[] = SOURCE_ROOT "/docs/man/loble.toml.5";
static const char begin_mark[] =
	".\\\" The list of options is made from the program; see manual_test.c.\n";
static const char end_mark[] = ".\\\" End of the list.\n";
static bool update;

static char *read_page(void)
{
	FILE *file = fopen(page_path, "r");
	char *text = calloc(1, 1 << 17);

	assert_non_null(text);
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 17) - 1, file) > 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

/* Lines of the reference are told apart by how far they are indented. */
static size_t indentation(const char *line)
{
	return strspn(line, " ");
}

static void write_line(FILE *file, const char *before, const char *line, size_t length)
{
	(void)fprintf(file, "%s%.*s\n", before, (int)length, line);
}

/* A page has each sentence on a line of its own. */
static void write_sentences(FILE *file, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '.' && i + 1 < length && text[i + 1] == ' ') {
			(void)fputs(".\n", file);
			i++;
		} else {
			(void)fputc(text[i], file);
		}
	}
	(void)fputc('\n', file);
}

/* Turns the reference into mdoc. */
static void write_list(FILE *file)
{
	char *reference = written_by(config_reference);
	bool in_list = false;
	unsigned detail = 0;

	for (const char *line = reference; *line != '\0'; line += strcspn(line, "\n") + 1) {
		const size_t indent = indentation(line);
		const size_t length = strcspn(line, "\n") - indent;
		const char *text = line + indent;

		if (indent == 0 && length > 0) {
			(void)fputs(in_list ? ".El\n" : "", file);
			in_list = false;
			write_line(file, ".Ss ", text, length);
		} else if (indent == 2 && !in_list && line[-1] == '\n' && detail == 0 &&
			memchr(text, ' ', length) != NULL) {
			write_sentences(file, text, length);
			(void)fputs(".Bl -tag -width Ds\n", file);
			in_list = true;
		} else if (indent == 2) {
			write_line(file, ".It Ic ", text, length);
			detail = 1;
		} else if (indent == 6 && detail == 1) {
			write_line(file, "", text, length);
			(void)fputs(".br\n", file);
			detail = 2;
		} else if (indent == 6) {
			write_sentences(file, text, length);
			detail = 0;
		}
	}
	(void)fputs(in_list ? ".El\n" : "", file);
	free(reference);
}

static void write_page(const char *page, const char *list, const char *end)
{
	FILE *file = fopen(page_path, "w");
	const size_t head = (size_t)(strstr(page, begin_mark) - page) + strlen(begin_mark);

	assert_non_null(file);
	(void)fprintf(file, "%.*s%s%s", (int)head, page, list, end);
	assert_int_equal(fclose(file), 0);
}

static void the_page_lists_every_option_and_no_other(void **state)
{
	char *page = read_page();
	char *list = written_by(write_list);
	const char *begin = strstr(page, begin_mark);
	const char *end = strstr(page, end_mark);

	(void)state;
	assert_non_null(begin);
	assert_non_null(end);
	begin += strlen(begin_mark);
	if (update) {
		write_page(page, list, end);
	} else if ((size_t)(end - begin) != strlen(list) ||
		memcmp(begin, list, strlen(list)) != 0) {
		fail_msg("loble.toml.5: the list of options is old: run this test with --update");
	}
	free(list);
	free(page);
}

/* Loads each literal block of the page that is a whole file. */
static void the_examples_of_the_page_are_valid(void **state)
{
	static const char open[] = ".Bd -literal -offset indent\n";
	static const char close[] = ".Ed\n";
	char *page = read_page();
	unsigned loaded = 0;

	(void)state;
	for (char *at = strstr(page, open); at != NULL; at = strstr(at, open)) {
		char *end = strstr(at, close);

		assert_non_null(end);
		at += strlen(open);
		*end = '\0';
		config_free(load_valid(at));
		at = end + 1;
		loaded++;
	}
	assert_true(loaded >= 2);
	free(page);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_lists_every_option_and_no_other),
		cmocka_unit_test(the_examples_of_the_page_are_valid),
	};

	update = argc > 1 && strcmp(argv[1], "--update") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
