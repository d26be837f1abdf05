#include "os/notify.h"

#ifdef WITH_SYSTEMD
#include <systemd/sd-daemon.h>

void notify_systemd(const char *state)
{
	(void)sd_notify(0, state);
}
#else
void notify_systemd(const char *state)
{
	(void)state;
}
#endif
