#ifndef CCRYPT_H
#define CCRYPT_H

#include <stddef.h>

// crypt_r needs a buffer of 32 KiB, and the caller must clear it. Its struct is too large for Swift to import as a tuple.

/// Hashes `phrase` with the method, cost and salt of `setting` (crypt(3)). `setting` may be a whole stored hash.
///
/// Safe from any thread. Returns 0 and the hash with its final zero in `output`; -1 when the library does not
/// know the method or the hash does not fit into `size` bytes.
int clinicsync_crypt(const char *phrase, const char *setting, char *output, size_t size);

#endif
