/* csv.c - see csv.h. */
#include "csv.h"

#include <string.h>

pm_span pm_skip_bom(char *p, size_t n) {
    size_t skip = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return (pm_span){p + skip, n - skip};
}

/* One cell, unquoted in place: *at moves past it and its separator; *last when the record ended. False: the quote never closes. */
static bool next_cell(char **at, char *end, pm_span *cell, bool *last) {
    char *p = *at, *w = p;
    cell->p = p;
    bool quoted = p < end && *p == '"';
    if (quoted) {
        for (p++; p < end && !(*p == '"' && (p + 1 == end || p[1] != '"')); p++) {
            if (*p == '"') p++;
            *w++ = *p;
        }
        if (p == end) return false;
        p++;
    }
    while (p < end && *p != ',' && *p != '\n') *w++ = *p++;
    *last = p == end || *p == '\n';
    *at = p < end ? p + 1 : p;
    cell->n = (size_t)(w - cell->p);
    if (*last && cell->n && cell->p[cell->n - 1] == '\r') cell->n--;
    return true;
}

pm_status pm_csv_record(char **at, char *end, pm_span cell[PM_CSV_COLUMNS], int *n, pm_err *e) {
    *n = 0;
    if (*at == end) return PM_OK;
    for (bool last = false; !last; (*n)++) {
        if (*n == PM_CSV_COLUMNS) return pm_fail(e, PM_EFORMAT, "more than %d columns", PM_CSV_COLUMNS);
        if (!next_cell(at, end, &cell[*n], &last)) return pm_fail(e, PM_EFORMAT, "a quote is never closed");
    }
    return PM_OK;
}
