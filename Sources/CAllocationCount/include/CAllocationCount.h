#ifndef CALLOCATIONCOUNT_H
#define CALLOCATIONCOUNT_H

#include <stdint.h>

// Counts allocations, for tests: a program that links this has malloc and its relatives replaced by ones that count and
// then do the same.

/// How many blocks of memory this thread has allocated or resized since it began; always 0 under a sanitizer, which
/// replaces malloc itself.
uint64_t allocation_count(void);

#endif
