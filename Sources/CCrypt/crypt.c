#define _GNU_SOURCE
#include "CCrypt.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

int clinicsync_crypt(const char *phrase, const char *setting, char *output, size_t size) {
    struct crypt_data *data = calloc(1, sizeof *data);
    if (!data) return -1;
    const char *hash = crypt_r(phrase, setting, data);
    int result = -1;
    // A hash that begins with an asterisk is the library's way to report an error.
    if (hash && hash[0] != '*' && strlen(hash) < size) {
        memcpy(output, hash, strlen(hash) + 1);
        result = 0;
    }
    explicit_bzero(data, sizeof *data);
    free(data);
    return result;
}
