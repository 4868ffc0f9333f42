/* bytes.h - what the format readers share: little-endian loads, and the words for a damaged file.
 *
 * Why: files are hostile until checked, so every reader needs the same three things: reads that do not assume
 * alignment, names that are safe to print, and one spelling of "this file is damaged".
 */
#ifndef PM_BYTES_H
#define PM_BYTES_H
#include "base.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the mapped formats are little-endian and read in place");

static inline uint16_t pm_le16(const void *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t pm_le32(const void *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t pm_le64(const void *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* PM_EFORMAT "FILE: message", with the hint that the file should be fetched again. Long paths are cut from
 * the left. */
__attribute__((format(printf, 3, 4))) pm_status pm_damaged(pm_err *e, const char *file, const char *fmt, ...);

/* A tensor's or key's name that messages may quote: 1 to 255 printable ASCII characters. */
bool pm_name_ok(const char *s, size_t n_bytes);

/* n zeroed elements; aborts with the size when the system has no memory left. n = 0 is fine. The caller
 * frees. */
void *pm_xcalloc(size_t n, size_t element_bytes);
#endif
