/*
 * cmocka with the headers that it wants before it, in the order that it wants. For unit tests
 * alone; assertions by the first thread only.
 */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
