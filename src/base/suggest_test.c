#include <string.h>

#include "base/array.h"
#include "base/suggest.h"
#include "base/testing.h"

static const char *const words[] = {"failure_threshold", "success_threshold", "probe_interval",
	"probe_timeout", "address", "name", "weight", "idle", "a", NULL};

static void the_nearest_word_is_found(void **state)
{
	static const struct {
		const char *word;
		const char *nearest;
	} cases[] = {
		{"succes_threshold", "success_threshold"},
		{"failure_treshold", "failure_threshold"},
		{"failure-threshold", "failure_threshold"},
		{"probe_intervall", "probe_interval"},
		{"adress", "address"},
		{"addres", "address"},
		{"Address", "address"},
		{"wieght", "weight"}, /* neighbours swapped count once */
		{"nmae", "name"},
		{"idel", "idle"},
		{"weight", "weight"},
		{"timeout", NULL},
		{"x", NULL},
		{"", NULL},
		{"color", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const char *nearest = suggest_word(cases[i].word, strlen(cases[i].word), words);

		if (cases[i].nearest == NULL) {
			assert_null(nearest);
		} else {
			assert_non_null(nearest);
			assert_string_equal(nearest, cases[i].nearest);
		}
	}
}

static void only_the_given_bytes_count(void **state)
{
	(void)state;
	assert_string_equal(suggest_word("weightless", 6, words), "weight");
}

static void long_words_are_near_to_nothing(void **state)
{
	char word[10000];

	(void)state;
	memset(word, 'a', sizeof word);
	assert_null(suggest_word(word, sizeof word, words));
	word[SUGGEST_WORD_MAX + 1] = '\0';
	assert_null(suggest_word("aaaaa", 5, (const char *const[]){word, NULL}));
	word[SUGGEST_WORD_MAX] = '\0';
	assert_ptr_equal(
		suggest_word(word, SUGGEST_WORD_MAX, (const char *const[]){word, NULL}), word);
}

static void of_equally_near_words_the_first_wins(void **state)
{
	(void)state;
	assert_string_equal(
		suggest_word("cat", 3, (const char *const[]){"bat", "hat", NULL}), "bat");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_word_is_found),
		cmocka_unit_test(only_the_given_bytes_count),
		cmocka_unit_test(long_words_are_near_to_nothing),
		cmocka_unit_test(of_equally_near_words_the_first_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
