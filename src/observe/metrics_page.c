/* Prints the page of a process in known states, for tests/golden/metrics_test.py. One thread. */
#include <stdio.h>

#include "observe/metrics.h"
#include "observe/testing.h"

int main(void)
{
	void *state = NULL;
	struct page page = page_begin();
	int status = 1;

	if (testing_make_shm(&state) < 0) {
		return status;
	}
	testing_fill(state);
	metrics_write(&page, &(struct metrics_source){.shm = state, .version = "1.2.3"});
	if (!page.failed && fwrite(page.text, 1, page.length, stdout) == page.length) {
		status = 0;
	}
	page_done(&page);
	(void)testing_drop_shm(&state);
	return status;
}
