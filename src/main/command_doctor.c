#include <jansson.h>
#include <stdio.h>

#include "main/commands.h"
#include "main/doctor.h"
#include "main/exit_code.h"
#include "main/options.h"

enum { INDENT = 6 };

static void print_text(const struct host *host)
{
	struct doctor_finding finding;
	size_t warnings = 0;

	for (size_t i = 0; i < doctor_count(); i++) {
		doctor_judge(host, i, &finding);
		(void)printf("%-*s%-15s%s\n", INDENT, finding.warn ? "WARN" : "OK", finding.name,
			finding.text);
		if (finding.warn) {
			(void)printf("%*smend: %s\n", INDENT, "", finding.mend);
			warnings++;
		}
	}
	(void)printf("%zu of %zu could be better, for a process of user %u with the rights of this "
		     "one\n",
		warnings, doctor_count(), host->user);
}

static json_t *json_of(const struct doctor_finding *finding)
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "name", finding->name, "status",
		finding->warn ? "warn" : "ok", "text", finding->text);

	if (object != NULL && finding->warn &&
		json_object_set_new(object, "mend", json_string(finding->mend)) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* NULL: no memory. */
static json_t *all_of(const struct host *host)
{
	struct doctor_finding finding;
	json_t *checks = json_array();
	json_int_t warnings = 0;

	for (size_t i = 0; checks != NULL && i < doctor_count(); i++) {
		doctor_judge(host, i, &finding);
		warnings += finding.warn ? 1 : 0;
		if (json_array_append_new(checks, json_of(&finding)) < 0) {
			json_decref(checks);
			return NULL;
		}
	}
	/* The reference to the array goes over, also where this fails. */
	return json_pack("{s:I, s:o}", "warnings", warnings, "checks", checks);
}

int command_doctor(const struct options *options)
{
	static struct host host;
	json_t *json;
	int r;

	host_read("", &host);
	if (!options->json) {
		print_text(&host);
		return EXIT_CODE_DONE;
	}
	json = all_of(&host);
	if (json == NULL) {
		(void)fputs("loble: out of memory\n", stderr);
		return EXIT_CODE_LIMIT;
	}
	r = json_dumpf(json, stdout, JSON_INDENT(2));
	(void)fputc('\n', stdout);
	json_decref(json);
	return r < 0 ? EXIT_CODE_IO : EXIT_CODE_DONE;
}
