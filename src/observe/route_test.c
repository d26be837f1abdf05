#include <string.h>

#include "base/array.h"
#include "base/testing.h"
#include "observe/route.h"

static struct answer read_one(const struct http_call *call)
{
	const char *pool = route_parameter(call, "pool");

	return answer_text(HTTP_OK, pool == NULL ? call->context : pool);
}

static struct answer change_one(const struct http_call *call)
{
	return answer_text(HTTP_ACCEPTED, call->context);
}

static const struct route routes[] = {
	{"GET", "/one", "pool backend", true, read_one},
	{"POST", "/one", "", false, change_one},
	{"POST", "/two", NULL, false, change_one},
};

static char context[] = "the table's";

static struct site make_site(bool json)
{
	return (struct site){
		.table_count = 1,
		.tables = {{.routes = routes, .count = ARRAY_COUNT(routes), .context = context}},
		.json = json,
	};
}

static void expect(
	const struct site *site, struct http_call call, enum http_status status, const char *text)
{
	bool large;
	struct answer answer = route_call(site, &call, &large);

	assert_int_equal(answer.status, status);
	assert_int_equal(answer.length, strlen(text));
	assert_memory_equal(answer.text, text, answer.length);
	answer_done(&answer);
}

static void a_call_reaches_its_route(void **state)
{
	const struct site site = make_site(true);
	struct http_call call = {.method = "GET", .path = "/one"};

	(void)state;
	expect(&site, call, HTTP_OK, context);
	call.method = "HEAD";
	expect(&site, call, HTTP_OK, context);
	call.method = "POST";
	expect(&site, call, HTTP_ACCEPTED, context);
	call.path = "/two";
	call.query_count = 1;
	call.query[0] = (struct query){"anything", "x"};
	expect(&site, call, HTTP_ACCEPTED, context);
	call = (struct http_call){.method = "GET", .path = "/one", .query_count = 1};
	call.query[0] = (struct query){"pool", "web"};
	expect(&site, call, HTTP_OK, "web");
}

static void what_no_route_fits_is_refused_with_a_reason(void **state)
{
	const struct site site = make_site(true);
	struct http_call call = {.method = "GET", .path = "/three"};

	(void)state;
	expect(&site, call, HTTP_NOT_FOUND, "{\"error\":\"no such path; there are /one /two\"}\n");
	call.path = "/two";
	expect(&site, call, HTTP_METHOD_NOT_ALLOWED,
		"{\"error\":\"only POST can be used on this path\"}\n");
	call = (struct http_call){.method = "GET", .path = "/one", .query_count = 1};
	call.query[0] = (struct query){"poo", "web"};
	expect(&site, call, HTTP_BAD_REQUEST,
		"{\"error\":\"unknown parameter 'poo'; there is pool backend\"}\n");
	call.method = "POST";
	expect(&site, call, HTTP_BAD_REQUEST,
		"{\"error\":\"unknown parameter 'poo'; there is none here\"}\n");
	call.query_count = QUERY_MAX + 1;
	expect(&site, call, HTTP_BAD_REQUEST, "{\"error\":\"too many parameters\"}\n");
}

static void a_site_for_machines_refuses_in_plain_text(void **state)
{
	const struct site site = make_site(false);

	(void)state;
	expect(&site, (struct http_call){.method = "GET", .path = "/two"}, HTTP_METHOD_NOT_ALLOWED,
		"only POST can be used on this path\n");
}

static void all_methods_of_a_path_are_told(void **state)
{
	const struct site site = make_site(true);
	struct http_call call = {.method = "DELETE", .path = "/one"};
	bool large;
	struct answer answer = route_call(&site, &call, &large);

	(void)state;
	assert_int_equal(answer.status, HTTP_METHOD_NOT_ALLOWED);
	assert_string_equal(answer.allow, "GET, HEAD, POST");
	answer_done(&answer);
}

static void large_answers_wait_for_room(void **state)
{
	const struct site site = make_site(true);
	struct http_call call = {.method = "GET", .path = "/one", .crowded = true};
	bool large;
	struct answer answer;

	(void)state;
	expect(&site, call, HTTP_UNAVAILABLE, "{\"error\":\"too many requests at once\"}\n");
	call.method = "POST";
	expect(&site, call, HTTP_ACCEPTED, context);
	call = (struct http_call){.method = "GET", .path = "/one"};
	answer = route_call(&site, &call, &large);
	assert_true(large);
	answer_done(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_reaches_its_route),
		cmocka_unit_test(what_no_route_fits_is_refused_with_a_reason),
		cmocka_unit_test(a_site_for_machines_refuses_in_plain_text),
		cmocka_unit_test(all_methods_of_a_path_are_told),
		cmocka_unit_test(large_answers_wait_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
