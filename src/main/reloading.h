/*
 * The loader of a reload: reads the configuration file again, with the same rules and messages as
 * at the start and in `loble check`.
 *
 * Threads: the loader, which control starts; it touches nothing but what it is given.
 */
#pragma once

struct control_loaded;

void reloading_load(const char *path, struct control_loaded *ret_loaded);
