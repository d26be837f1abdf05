/* What every C program needs. Constants. */
#pragma once

#include <stddef.h>

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CACHE_LINE = 64 };
