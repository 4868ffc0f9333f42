/* fetch.h - files from the internet or a mirror, checked by sha256 before use. */
#ifndef PM_FETCH_H
#define PM_FETCH_H
#include "base.h"

/* sha256 of a file, streamed. */
pm_status pm_file_sha256(const char *path, char hex[65], pm_err *e);
/* Makes dest hold the bytes with this sha256: kept when it already does; else copied from mirror_dir/rel when that file matches; else downloaded
 * from url (resumes dest.part, retries, progress with rate and ETA), checked, renamed into place. A mismatch removes nothing the user had and says both hashes. */
pm_status pm_fetch(const char *url, const char *sha256, const char *mirror_dir /* or NULL */, const char *rel,
                   const char *dest, pm_err *e);
pm_status pm_mkdirs(const char *path, pm_err *e);
pm_status pm_mkdir_parent(const char *path, pm_err *e); /* the folder that path lies in */
#endif
