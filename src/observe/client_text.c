#include "observe/client_text.h"

#include <arpa/inet.h>
#include <string.h>

void client_text(const uint8_t address[static 18], bool local, char text[static SOCKADDR_TEXT_MAX])
{
	struct sockaddr_any client = {.length = sizeof client.ip6};
	struct in6_addr ip6;

	if (local) {
		memcpy(text, "unix", sizeof "unix");
		return;
	}
	memcpy(&ip6, address, sizeof ip6);
	if (IN6_IS_ADDR_V4MAPPED(&ip6)) {
		client.length = sizeof client.ip4;
		client.ip4.sin_family = AF_INET;
		memcpy(&client.ip4.sin_addr, address + 12, 4);
		memcpy(&client.ip4.sin_port, address + 16, 2);
	} else {
		client.ip6.sin6_family = AF_INET6;
		client.ip6.sin6_addr = ip6;
		memcpy(&client.ip6.sin6_port, address + 16, 2);
	}
	sockaddr_text(&client, text);
}
