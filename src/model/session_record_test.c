#include "base/testing.h"
#include "model/session_record.h"

static struct session_record sample(void)
{
	return (struct session_record){
		.generation = 4,
		.fd = {10, 11},
		.cookie = {1001, 1002},
		.listener = 1,
		.pool = 2,
		.slot = 3,
		.started_ns = 99,
	};
}

/* A check word that misses a damaged field would join two strangers. */
static void each_lasting_field_is_checked(void **state)
{
	const struct session_record good = sample();
	const uint64_t check = session_record_check(&good, 5);
	struct session_record damaged[9];

	(void)state;
	for (int i = 0; i < 9; i++) {
		damaged[i] = good;
	}
	damaged[0].generation ^= 1;
	damaged[1].fd[0] ^= 1;
	damaged[2].fd[1] ^= 1;
	damaged[3].cookie[0] ^= 1;
	damaged[4].cookie[1] ^= 1;
	damaged[5].listener ^= 1;
	damaged[6].pool ^= 1;
	damaged[7].slot ^= 1;
	damaged[8].started_ns ^= 1;
	for (int i = 0; i < 9; i++) {
		assert_int_not_equal(session_record_check(&damaged[i], 5), check);
	}
	assert_int_not_equal(session_record_check(&good, 6), check);
	assert_int_equal(session_record_check(&good, 5), check);
}

static void what_changes_is_not_checked(void **state)
{
	struct session_record record = sample();
	const uint64_t check = session_record_check(&record, 5);

	(void)state;
	record.moved[0] = 12345;
	session_record_set(&record, RECORD_RESETTING);
	record.chunk[1] = 3;
	record.pipe[0] = 9;
	atomic_store(&record.state, RECORD_OPEN);
	assert_int_equal(session_record_check(&record, 5), check);
}

/* Which of the three words it has says what the state is, whatever stands there. */
static void a_word_belongs_to_its_state(void **state)
{
	struct session_record record = {.fd = {7, 8}, .flags = session_record_flags(0)};

	(void)state;
	record.state = RECORD_CONNECTING;
	record.check = session_record_check_client(&record, 5);
	assert_true(session_record_valid(&record, 5));
	assert_false(session_record_has_backend(&record, 5));
	record.check = session_record_check_try(&record, 5);
	assert_true(session_record_valid(&record, 5));
	assert_true(session_record_has_backend(&record, 5));
	session_record_settle(&record, 5);
	assert_int_equal(record.state, RECORD_CONNECTING);
	record.state = RECORD_OPEN;
	assert_false(session_record_valid(&record, 5));

	record.check = session_record_check(&record, 5);
	record.cookie[SIDE_CLIENT] = 1; /* it comes of age */
	assert_true(session_record_valid(&record, 5));
	record.state = RECORD_CONNECTING;
	assert_false(session_record_valid(&record, 5));
	session_record_settle(&record, 5);
	assert_int_equal(record.state, RECORD_OPEN);
}

static void any_two_bits_of_the_flags_that_flip_are_noticed(void **state)
{
	struct session_record record = sample();

	(void)state;
	atomic_store(&record.state, RECORD_OPEN);
	record.check = session_record_check(&record, 5);
	for (unsigned flags = 0; flags < 1U << RECORD_FLAG_COUNT; flags++) {
		record.flags = session_record_flags(flags);
		assert_true(session_record_valid(&record, 5));
		for (unsigned i = 0; i < 16; i++) {
			for (unsigned j = 0; j <= i; j++) {
				const unsigned flipped = i == j ? 1U << i : 1U << i | 1U << j;

				record.flags = (uint16_t)(session_record_flags(flags) ^ flipped);
				assert_false(session_record_valid(&record, 5));
			}
		}
	}
	record.flags = 0;
	assert_false(session_record_valid(&record, 5));
}

static void flags_are_set_and_cleared_one_by_one(void **state)
{
	struct session_record record = sample();

	(void)state;
	session_record_set(&record, RECORD_LOCAL_CLIENT | RECORD_GONE_BACKEND);
	session_record_set(&record, RECORD_RESETTING);
	session_record_clear(&record, RECORD_LOCAL_CLIENT);
	assert_int_equal(
		record.flags, session_record_flags(RECORD_GONE_BACKEND | RECORD_RESETTING));
	session_record_spoil(&record);
	assert_false(session_record_valid(&record, 5));
}

static void a_pipe_record_is_that_of_its_number_ends_inode_and_owner(void **state)
{
	const struct pipe_record pipe = {.fd = {7, 8}, .owner = 12, .identity = 99};
	struct pipe_record other = pipe;

	(void)state;
	assert_int_not_equal(
		pipe_record_identity(&pipe, 3, 1000), pipe_record_identity(&pipe, 4, 1000));
	assert_int_not_equal(
		pipe_record_identity(&pipe, 3, 1000), pipe_record_identity(&pipe, 3, 1001));
	other.fd[0] = 6;
	assert_int_not_equal(
		pipe_record_identity(&pipe, 3, 1000), pipe_record_identity(&other, 3, 1000));
	other = pipe;
	other.owner ^= 1;
	assert_int_not_equal(pipe_record_check(&pipe), pipe_record_check(&other));
	other = pipe;
	other.identity ^= 1;
	assert_int_not_equal(pipe_record_check(&pipe), pipe_record_check(&other));
}

static void a_journal_key_names_index_and_side(void **state)
{
	(void)state;
	assert_int_not_equal(journal_key(0, SIDE_CLIENT), 0); /* 0 is closed */
	assert_int_not_equal(journal_key(7, SIDE_CLIENT), journal_key(7, SIDE_BACKEND));
	assert_int_not_equal(journal_key(7, SIDE_CLIENT), journal_key(8, SIDE_CLIENT));
	assert_int_equal(journal_key(7, SIDE_BACKEND) >> 2, 7);
	assert_int_not_equal(journal_check(9, 100, 0), journal_check(9, 101, 0));
	assert_int_not_equal(journal_check(9, 100, 0), journal_check(10, 100, 0));
	/* One that was copied to another place is not valid there. */
	assert_int_not_equal(journal_check(9, 100, 0), journal_check(9, 100, 1));
	assert_int_not_equal(
		journal_check(9, 100, JOURNAL_BUFFER), journal_check(9, 100, JOURNAL_LANE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_lasting_field_is_checked),
		cmocka_unit_test(what_changes_is_not_checked),
		cmocka_unit_test(a_word_belongs_to_its_state),
		cmocka_unit_test(any_two_bits_of_the_flags_that_flip_are_noticed),
		cmocka_unit_test(flags_are_set_and_cleared_one_by_one),
		cmocka_unit_test(a_pipe_record_is_that_of_its_number_ends_inode_and_owner),
		cmocka_unit_test(a_journal_key_names_index_and_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
