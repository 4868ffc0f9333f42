/* field.h - one table per struct of settings; parsing, --help, the database's config column and adapter_config.json derive from it. */
#ifndef PM_FIELD_H
#define PM_FIELD_H
#include "base.h"

typedef enum pm_field_type {
    PM_FIELD_INT,    /* int */
    PM_FIELD_REAL,   /* double */
    PM_FIELD_BOOL,   /* bool */
    PM_FIELD_STRING, /* char[PM_FIELD_STR] */
    PM_FIELD_ENUM    /* int; `choices` is "fp32|bf16", the value its index */
} pm_field_type;
#define PM_FIELD_STR 512

typedef struct pm_field {
    const char *key; /* rank; the config key is method.rank */
    pm_field_type type;
    size_t offset;       /* in the struct */
    const char *def;     /* default, as a user would write it */
    double min, max;     /* of numbers, inclusive; both 0: any */
    const char *choices; /* ENUM only */
    const char *help;    /* one line: meaning, unit, source of the default */
    const char *peft;    /* key in adapter_config.json; NULL: not written there */
} pm_field;
/* A table ends with a row whose key is NULL. */

void pm_fields_defaults(const pm_field *f, void *cfg);
/* Parses and checks one value. PM_EUSAGE: unknown key (hint: nearest key), wrong type, out of range. `prefix` is for messages ("method."). */
pm_status pm_field_set(const pm_field *f, void *cfg, const char *prefix, const char *key, const char *value,
                       pm_err *e);
/* The value as a user would write it. Numbers round-trip (%.17g shortened). */
void pm_field_get(const pm_field *f, const void *cfg, char *out, size_t cap);
/* The fewest digits that read back as the same number. */
void pm_real_text(double v, char *out, size_t cap);
const pm_field *pm_field_find(const pm_field *f, const char *key);
/* The known word nearest to `word` by edit distance, or NULL when none is near: for "did you mean" hints. */
const char *pm_nearest(const char *word, const char *const *known, int n);
#endif
