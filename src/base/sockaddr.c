#include "base/sockaddr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"

enum { LABEL_MAX = 63 }; /* RFC 1035 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_character(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
		c == '_';
}

static bool all_digits(struct span span)
{
	for (size_t i = 0; i < span.length; i++) {
		if (!is_digit(span.data[i])) {
			return false;
		}
	}
	return span.length > 0;
}

static const char *parse_port(struct span text, uint16_t *ret_port)
{
	uint32_t port = 0;

	if (text.length == 0) {
		return "the port is missing after the colon";
	}
	if (!all_digits(text)) {
		return "the port is not a number";
	}
	for (size_t i = 0; i < text.length && port <= UINT16_MAX; i++) {
		port = port * 10 + (uint32_t)(text.data[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX) {
		return "the port is out of range: 1 to 65535 is expected";
	}
	*ret_port = (uint16_t)port;
	return NULL;
}

static const char *parse_local(struct span path, struct address *address)
{
	struct sockaddr_un *local = &address->numeric.local;
	const size_t start = offsetof(struct sockaddr_un, sun_path);

	if (path.length == 0 || span_is(path, "@")) {
		return "the path is missing after \"unix:\"";
	}
	if (path.length >= sizeof local->sun_path) {
		return "the path of a UNIX socket is at most 107 bytes";
	}
	for (size_t i = 0; i < path.length; i++) {
		if ((unsigned char)path.data[i] < ' ' || path.data[i] == 0x7f) {
			return "the path of a UNIX socket has a control character";
		}
	}
	address->kind = ADDRESS_LOCAL;
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, path.data, path.length);
	if (path.data[0] == '@') {
		local->sun_path[0] = '\0';
		address->numeric.length = (socklen_t)(start + path.length);
	} else {
		address->numeric.length = (socklen_t)(start + path.length + 1);
	}
	return NULL;
}

/* `text` is what stands after the "%": the name of an interface, or its index. */
static const char *parse_scope(struct span text, uint32_t *ret_scope)
{
	char name[IF_NAMESIZE];
	uint32_t scope = 0;

	if (text.length == 0 || text.length >= sizeof name) {
		return "the network interface after the \"%\" is not a valid name";
	}
	memcpy(name, text.data, text.length);
	name[text.length] = '\0';
	scope = if_nametoindex(name);
	if (scope == 0 && all_digits(text) && text.length <= 9) {
		for (size_t i = 0; i < text.length; i++) {
			scope = scope * 10 + (uint32_t)(text.data[i] - '0');
		}
	}
	if (scope == 0) {
		return "there is no such network interface as stands after the \"%\"";
	}
	*ret_scope = scope;
	return NULL;
}

/* `text` starts with "[". */
static const char *parse_ip6(struct span text, struct address *address)
{
	struct sockaddr_in6 *ip6 = &address->numeric.ip6;
	const struct span inside = span_skip(span_first(text, span_find(text, ']')), 1);
	const struct span number = span_first(inside, span_find(inside, '%'));
	const struct span after = span_skip(text, inside.length + 2);
	char digits[INET6_ADDRSTRLEN];
	const char *mistake;

	if (inside.length + 1 >= text.length) {
		return "the closing \"]\" is missing";
	}
	if (number.length >= sizeof digits || memchr(number.data, '\0', number.length) != NULL) {
		return "there is no valid IPv6 address between the brackets";
	}
	memcpy(digits, number.data, number.length);
	digits[number.length] = '\0';
	if (inet_pton(AF_INET6, digits, &ip6->sin6_addr) != 1) {
		return "there is no valid IPv6 address between the brackets";
	}
	if (number.length < inside.length) {
		mistake = parse_scope(span_skip(inside, number.length + 1), &ip6->sin6_scope_id);
		if (mistake != NULL) {
			return mistake;
		}
	}
	if (!span_starts_with(after, ":")) {
		return "the port is missing: \"[address]:port\" is expected";
	}
	mistake = parse_port(span_skip(after, 1), &address->port);
	if (mistake != NULL) {
		return mistake;
	}
	address->kind = ADDRESS_NUMERIC;
	address->numeric.length = sizeof *ip6;
	ip6->sin6_family = AF_INET6;
	ip6->sin6_port = htons(address->port);
	return NULL;
}

/* Whether `name` is a name of DNS; a last dot, the root, is allowed. */
static bool is_host_name(struct span name)
{
	size_t label_length = 0;

	for (size_t i = 0; i < name.length; i++) {
		if (name.data[i] == '.') {
			if (label_length == 0 || name.data[i - 1] == '-') {
				return false;
			}
			label_length = 0;
		} else if (!is_name_character(name.data[i]) || label_length == LABEL_MAX ||
			(label_length == 0 && name.data[i] == '-')) {
			return false;
		} else {
			label_length++;
		}
	}
	return name.length > 0 && name.data[name.length - 1] != '-';
}

/* Whether the last part is a number: such a text is meant as an IPv4 address, never as a name. */
static bool looks_like_ip4(struct span host)
{
	size_t dot = host.length;

	while (dot > 0 && host.data[dot - 1] != '.') {
		dot--;
	}
	return all_digits(span_skip(host, dot));
}

static const char *parse_host(struct span host, struct address *address)
{
	struct sockaddr_in *ip4 = &address->numeric.ip4;

	if (host.length >= sizeof address->host) {
		return "the name is longer than 253 characters";
	}
	if (looks_like_ip4(host)) {
		memcpy(address->host, host.data, host.length);
		if (inet_pton(AF_INET, address->host, &ip4->sin_addr) != 1) {
			return "that is not a valid IPv4 address";
		}
		memset(address->host, 0, sizeof address->host);
		address->kind = ADDRESS_NUMERIC;
		address->numeric.length = sizeof *ip4;
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(address->port);
		return NULL;
	}
	if (!is_host_name(host)) {
		return "the host is neither an IP address nor a valid name";
	}
	address->kind = ADDRESS_NAME;
	memcpy(address->host, host.data, host.length);
	return NULL;
}

static const char *parse(struct span text, struct address *address)
{
	const size_t colon = span_find(text, ':');
	const struct span after = span_skip(text, colon + 1);
	const char *mistake;

	if (text.length == 0) {
		return "the address is empty: \"host:port\" is expected";
	}
	if (span_starts_with(text, "unix:")) {
		return parse_local(span_skip(text, 5), address);
	}
	if (text.data[0] == '[') {
		return parse_ip6(text, address);
	}
	if (span_starts_with(after, "//")) {
		return "an address is \"host:port\", without a scheme";
	}
	if (colon == text.length) {
		return all_digits(text)
			? "the host is missing: \"host:port\" or \":port\" is expected"
			: "the port is missing: \"host:port\" is expected";
	}
	if (span_find(after, ':') < after.length) {
		return "an IPv6 address needs brackets: \"[::1]:80\"";
	}
	mistake = parse_port(after, &address->port);
	if (mistake != NULL) {
		return mistake;
	}
	if (colon == 0) {
		address->kind = ADDRESS_ANY;
		return NULL;
	}
	return parse_host(span_first(text, colon), address);
}

const char *address_parse(const char *text, size_t length, struct address *ret_address)
{
	struct address address = {0};
	const char *mistake = parse((struct span){text, length}, &address);

	if (mistake == NULL) {
		*ret_address = address;
	}
	return mistake;
}

const char *address_text(const struct address *address, char text[static ADDRESS_HOST_MAX + 8])
{
	switch (address->kind) {
	case ADDRESS_UNSET:
		text[0] = '\0';
		break;
	case ADDRESS_NUMERIC:
	case ADDRESS_LOCAL:
		return sockaddr_text(&address->numeric, text);
	case ADDRESS_NAME:
	case ADDRESS_ANY:
		(void)snprintf(text, ADDRESS_HOST_MAX + 8, "%s:%u", address->host, address->port);
		break;
	}
	return text;
}

static void ip6_text(const struct sockaddr_in6 *ip6, char text[static SOCKADDR_TEXT_MAX])
{
	char number[INET6_ADDRSTRLEN];
	char scope[IF_NAMESIZE + 1] = "";

	(void)inet_ntop(AF_INET6, &ip6->sin6_addr, number, sizeof number);
	if (ip6->sin6_scope_id != 0) {
		scope[0] = '%';
		if (if_indextoname(ip6->sin6_scope_id, scope + 1) == NULL) {
			(void)snprintf(scope, sizeof scope, "%%%u", ip6->sin6_scope_id);
		}
	}
	(void)snprintf(text, SOCKADDR_TEXT_MAX, "[%s%s]:%u", number, scope, ntohs(ip6->sin6_port));
}

/* The length tells an unnamed socket, an abstract name and a path apart. */
static void local_text(const struct sockaddr_any *address, char text[static SOCKADDR_TEXT_MAX])
{
	const char *path = address->local.sun_path;
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t length = address->length > start ? address->length - start : 0;
	int used;

	if (length > sizeof address->local.sun_path) {
		length = sizeof address->local.sun_path;
	}
	if (length > 0 && path[0] != '\0') {
		length = strnlen(path, length);
	}
	used = snprintf(text, SOCKADDR_TEXT_MAX, "unix:");
	for (size_t i = 0; i < length; i++) {
		const unsigned char c = (unsigned char)path[i];

		if (i == 0 && c == '\0') {
			text[used++] = '@';
		} else {
			text[used++] = c < ' ' || c == 0x7f ? '?' : (char)c;
		}
	}
	text[used] = '\0';
}

const char *sockaddr_text(const struct sockaddr_any *address, char text[static SOCKADDR_TEXT_MAX])
{
	char number[INET_ADDRSTRLEN];

	switch (address->generic.sa_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &address->ip4.sin_addr, number, sizeof number);
		(void)snprintf(
			text, SOCKADDR_TEXT_MAX, "%s:%u", number, ntohs(address->ip4.sin_port));
		break;
	case AF_INET6:
		ip6_text(&address->ip6, text);
		break;
	case AF_UNIX:
		local_text(address, text);
		break;
	default:
		(void)snprintf(text, SOCKADDR_TEXT_MAX, "unknown");
		break;
	}
	return text;
}

bool sockaddr_equal(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	if (a->generic.sa_family != b->generic.sa_family) {
		return false;
	}
	switch (a->generic.sa_family) {
	case AF_INET:
		return a->ip4.sin_port == b->ip4.sin_port &&
			a->ip4.sin_addr.s_addr == b->ip4.sin_addr.s_addr;
	case AF_INET6:
		return a->ip6.sin6_port == b->ip6.sin6_port &&
			a->ip6.sin6_scope_id == b->ip6.sin6_scope_id &&
			memcmp(&a->ip6.sin6_addr, &b->ip6.sin6_addr, sizeof a->ip6.sin6_addr) == 0;
	case AF_UNIX:
		return a->length == b->length && memcmp(&a->local, &b->local, a->length) == 0;
	default:
		return false;
	}
}

uint16_t sockaddr_port(const struct sockaddr_any *address)
{
	switch (address->generic.sa_family) {
	case AF_INET:
		return ntohs(address->ip4.sin_port);
	case AF_INET6:
		return ntohs(address->ip6.sin6_port);
	default:
		return 0;
	}
}
