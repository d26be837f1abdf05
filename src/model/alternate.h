/*
 * A second arrangement of the records, for tests of the conversion between two real binaries.
 *
 * The build option record_layout=alternate compiles the structures of the shared memory with
 * fields moved and added and with another RECORD_VERSION. Constants; no thread is concerned.
 */
#pragma once

#ifndef RECORD_LAYOUT_ALTERNATE
#define RECORD_LAYOUT_ALTERNATE 0
#endif

#if RECORD_LAYOUT_ALTERNATE
#define ONLY_STANDARD(...)
#define ONLY_ALTERNATE(...) __VA_ARGS__
#else
#define ONLY_STANDARD(...) __VA_ARGS__
#define ONLY_ALTERNATE(...)
#endif
