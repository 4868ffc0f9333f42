/* jsonio.h - small helpers over cJSON: a file parsed with its position of damage, typed access with a default. */
#ifndef PM_JSONIO_H
#define PM_JSONIO_H
#include "text.h"
#include <cjson/cJSON.h>

/* Parses a file; *out is the caller's (cJSON_Delete). PM_EIO, or PM_EFORMAT with line and column of the damage. */
pm_status pm_json_read(const char *path, cJSON **out, pm_err *e);
/* The same from bytes that were read, with a NUL behind them; `from` names them in messages. */
pm_status pm_json_parse(const pm_buf *text, const char *from, cJSON **out, pm_err *e);
/* A key that some object in it holds twice (of which readers take one or the other), or NULL. */
const char *pm_json_doubled(const cJSON *j);
/* The string at key of an object, or def when absent or of another type. The string belongs to the object. */
const char *pm_json_str(const cJSON *object, const char *key, const char *def);
/* An integer at key, or def. */
int pm_json_int(const cJSON *object, const char *key, int def);
/* A number at key, or NAN. */
double pm_json_number(const cJSON *object, const char *key);
/* PM_EFORMAT when the object has a key outside known[0..n): names it and a near match. `where` is for the message. */
pm_status pm_json_known(const cJSON *object, const char *where, const char *const *known, int n, pm_err *e);
/* Deletes the object's members whose key `keep` does not want. */
void pm_json_keep(cJSON *object, bool (*keep)(const char *key));
/* 64 hexadecimal digits. */
bool pm_is_sha256(const char *s);
#endif
