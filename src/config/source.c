#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/diag.h"

static const struct toml_position nowhere;

static bool check_file(int fd, struct diag *diag)
{
	struct stat status;

	if (fstat(fd, &status) < 0) {
		diag_unreadable(diag, errno, "cannot be read: %s", strerrordesc_np(errno));
	} else if (S_ISDIR(status.st_mode)) {
		diag_unreadable(diag, EISDIR, "is a directory, not a file");
	} else if (!S_ISREG(status.st_mode)) {
		diag_unreadable(diag, EINVAL, "is not a regular file");
	} else if (status.st_size > SOURCE_BYTES_MAX) {
		diag_add(diag, DIAG_ERROR, nowhere, "the file is larger than 4 MiB");
	} else {
		return true;
	}
	return false;
}

/* Reads up to the end or one byte past the limit: the file may grow meanwhile. */
static bool read_all(int fd, char *text, size_t *ret_length, struct diag *diag)
{
	size_t length = 0;

	while (length <= SOURCE_BYTES_MAX) {
		const ssize_t n = read(fd, text + length, SOURCE_BYTES_MAX + 1 - length);

		if (n == 0) {
			*ret_length = length;
			return true;
		}
		if (n < 0 && errno != EINTR) {
			diag_unreadable(diag, errno, "cannot be read: %s", strerrordesc_np(errno));
			return false;
		}
		length += n > 0 ? (size_t)n : 0;
	}
	diag_add(diag, DIAG_ERROR, nowhere, "the file is larger than 4 MiB");
	return false;
}

char *source_read(const char *path, size_t *ret_length, struct diag *diag)
{
	char *text = NULL;
	/* Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever. */
	const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		diag_unreadable(diag, errno, "cannot be opened: %s", strerrordesc_np(errno));
		return NULL;
	}
	if (!check_file(fd, diag)) {
		goto fail_close;
	}
	text = malloc(SOURCE_BYTES_MAX + 1);
	if (text == NULL) {
		diag_out_of_memory(diag);
		goto fail_close;
	}
	if (!read_all(fd, text, ret_length, diag)) {
		goto fail_free;
	}
	(void)close(fd);
	return text;

fail_free:
	free(text);
fail_close:
	(void)close(fd);
	return NULL;
}

/* Where the byte at `offset` stands. */
static struct toml_position position_at(struct span text, size_t offset)
{
	struct toml_position position = {.line = 1, .column = 1};
	size_t start = 0;

	for (size_t i = 0; i < offset; i++) {
		if (text.data[i] == '\n') {
			position.line++;
			start = i + 1;
		}
	}
	while (start < offset) {
		uint32_t character;
		const size_t bytes = utf8_decode(text.data + start, offset - start, &character);

		start += bytes > 0 ? bytes : 1;
		position.column++;
	}
	return position;
}

static bool check_lines(struct span text, struct diag *diag)
{
	struct span rest = text;
	struct span line;
	struct toml_position position = {.column = 1};

	while (span_next_line(&rest, &line)) {
		position.line++;
		if (line.length > SOURCE_LINE_MAX) {
			diag_add(diag, DIAG_ERROR, position, "the line is longer than 16 KiB");
			return false;
		}
	}
	return true;
}

/* The closing of the string that starts at `rest`, which is not part of it yet. */
static size_t string_length(struct span rest)
{
	const char quote = rest.data[0];
	const char three[] = {quote, quote, quote, '\0'};
	const bool multi_line = span_starts_with(rest, three);
	const size_t open = multi_line ? 3 : 1;

	for (size_t i = open; i < rest.length; i++) {
		const char c = rest.data[i];

		if (c == '\\' && quote == '"') {
			i++;
		} else if (multi_line ? span_starts_with(span_skip(rest, i), three) : c == quote) {
			return i + open;
		} else if (!multi_line && c == '\n') {
			return i; /* a syntax error: the parser will not go beyond it */
		}
	}
	return rest.length;
}

/*
 * Refuses dotted keys of too many parts. Only as much of TOML is read as it takes to know what is
 * a string or a comment; up to the first syntax error that is exact, and the parser stops there.
 */
static bool check_depth(struct span text, struct diag *diag)
{
	struct span rest = text;
	unsigned dots = 0;

	while (rest.length > 0) {
		size_t taken = 1;

		switch (rest.data[0]) {
		case '"':
		case '\'':
			taken = string_length(rest);
			break;
		case '#':
			taken = span_find(rest, '\n');
			break;
		case '.':
			dots++;
			break;
		case '\n':
		case '=':
		case ',':
		case '[':
		case '{':
			dots = 0;
			break;
		default:
			break;
		}
		if (dots >= SOURCE_KEY_PARTS_MAX) {
			diag_add(diag, DIAG_ERROR, position_at(text, text.length - rest.length),
				"the key has more than %d parts", SOURCE_KEY_PARTS_MAX);
			return false;
		}
		rest = span_skip(rest, taken);
	}
	return true;
}

bool source_check_size(struct span text, struct diag *diag)
{
	if (text.length > SOURCE_BYTES_MAX) {
		diag_add(diag, DIAG_ERROR, nowhere, "the file is larger than 4 MiB");
		return false;
	}
	return true;
}

bool source_check(struct span text, struct diag *diag)
{
	const size_t valid = utf8_valid_length(text.data, text.length);
	const size_t nul = span_find(text, '\0');

	if (nul < text.length) {
		diag_add(diag, DIAG_ERROR, position_at(text, nul),
			"there is a NUL byte: this is no text file");
		return false;
	}
	if (valid < text.length) {
		diag_add(diag, DIAG_ERROR, position_at(text, valid), "this is not valid UTF-8");
		return false;
	}
	return check_lines(text, diag) && check_depth(text, diag);
}
