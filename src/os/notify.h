/*
 * Telling systemd how we are. Does nothing where systemd did not ask for it or the library was
 * not there at build time. Threads: the first one.
 */
#pragma once

/* `state` in the form of sd_notify(3): "READY=1\nSTATUS=..." */
void notify_systemd(const char *state);
