/* sha256.h - SHA-256 (FIPS 180-4): file checks, run keys, data hashes, frozen-weight hashes. */
#ifndef PM_SHA256_H
#define PM_SHA256_H
#include "base.h"

typedef struct pm_sha256 {
    uint32_t h[8];
    uint64_t n_bytes;
    uint8_t buf[64];
} pm_sha256;
void pm_sha256_init(pm_sha256 *s);
void pm_sha256_update(pm_sha256 *s, const void *p, size_t n_bytes);
void pm_sha256_hex(pm_sha256 *s, char hex[65]); /* finishes; lower-case, NUL-terminated */
void pm_sha256_of(const void *p, size_t n_bytes, char hex[65]);
#endif
