/* Any bytes as an address: what is one prints to a text that is the same one again. */
#include <stdlib.h>
#include <string.h>

#include "base/sockaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth)
{
	if (!truth) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address address;
	struct address again;
	char text[ADDRESS_HOST_MAX + 8];

	if (address_parse((const char *)data, size, &address) != NULL) {
		return 0;
	}
	address_text(&address, text);
	demand(address_parse(text, strlen(text), &again) == NULL);
	demand(again.kind == address.kind && again.port == address.port);
	demand(strcmp(again.host, address.host) == 0);
	if (address.kind == ADDRESS_NUMERIC || address.kind == ADDRESS_LOCAL) {
		demand(sockaddr_equal(&address.numeric, &again.numeric));
	}
	return 0;
}
