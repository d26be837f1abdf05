/*
 * The Prometheus text format, version 0.0.4, written into a page.
 *
 * All samples of a metric follow its HELP and TYPE, so a page is written metric by metric.
 *
 * Threads: a page belongs to one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "observe/page.h"

/* HELP and TYPE ("counter", "gauge", "histogram") of a metric. */
void page_metric(struct page *page, const char *name, const char *type, const char *help);

/*
 * Writes `key="value"` with the value escaped, to be used as (a part of) the labels of samples, and
 * returns its length. A byte that is no UTF-8 becomes U+FFFD, so `size` must hold the key, three
 * times the value and 4 more.
 */
size_t page_labels(char *text, size_t size, const char *key, const char *value);

/*
 * One sample: name + suffix, the labels (made by page_labels(); may be empty), and one more label
 * (`key` may be NULL) whose value needs no escaping.
 */
struct sample {
	const char *name;
	const char *suffix;
	const char *labels;
	const char *key;
	const char *value;
};

void page_number(struct page *page, const struct sample *sample, uint64_t number);

/* Nanoseconds, written as seconds. */
void page_seconds(struct page *page, const struct sample *sample, uint64_t ns);

/*
 * Writes nanoseconds as seconds, exactly and without trailing zeros ("0.00025", "10"), and returns
 * the length. Not terminated.
 */
size_t page_format_seconds(uint64_t ns, char text[static 32]);
