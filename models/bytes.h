/* bytes.h - what the format readers and writers share: little-endian loads, words for a damaged file, whole files.
 *
 * Why: files are hostile until checked, so every reader needs the same three things: reads that do not assume
 * alignment, names that are safe to print, and one spelling of "this file is damaged".
 */
#ifndef PM_BYTES_H
#define PM_BYTES_H
#include "base.h"
#include <stdio.h>
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

/* A file that is written whole or not at all: write to f, then close. */
typedef struct pm_atomic {
    FILE *f;
    const char *path; /* the caller's, until close */
    char temporary[4096];
} pm_atomic;
pm_status pm_atomic_open(pm_atomic *a, const char *path, pm_err *e); /* PM_EIO */
/* ok: every write succeeded; call it straight after the last one, it reads errno. The file has its name and is on disk, or the old one is
 * untouched and nothing is left (PM_EIO: full disk, ...). */
pm_status pm_atomic_close(pm_atomic *a, bool ok, pm_err *e);
/* A whole file at once: text and a newline. */
pm_status pm_atomic_text(const char *path, const char *text, pm_err *e);
struct cJSON;
pm_status pm_atomic_json(const char *path, struct cJSON *j, bool indented, pm_err *e); /* deletes j */
#endif
