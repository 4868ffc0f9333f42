/* unpack.h - the bytes of a file that may be compressed (.gz, .bz2) or a member of a zip archive (a data set, a Python wheel). */
#ifndef PM_UNPACK_H
#define PM_UNPACK_H
#include "text.h"

enum { PM_FILE_MAX = 1 << 30 }; /* bytes: more than this in a data file is refused, compressed or not */

/* The whole content of path, NUL-terminated. member NULL: the file itself, decompressed when its name ends in .gz or .bz2;
 * else that member of the zip archive at path. Caller frees out with pm_buf_free. */
pm_status pm_file_read(const char *path, const char *member /* or NULL */, pm_buf *out, pm_err *e);
/* Writes a member of a zip archive to dest (created or truncated), streamed; its length and CRC-32 are checked. */
pm_status pm_zip_extract(const char *zip, const char *member, const char *dest, pm_err *e);
#endif
