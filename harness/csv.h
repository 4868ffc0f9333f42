/* csv.h - comma-separated records (RFC 4180: quotes, doubled quotes, line ends inside quotes; LF or CRLF), split in place. */
#ifndef PM_CSV_H
#define PM_CSV_H
#include "base.h"

enum { PM_CSV_COLUMNS = 256 };

typedef struct pm_span {
    char *p;
    size_t n;
} pm_span;

/* The text without a UTF-8 byte order mark at its start. */
pm_span pm_skip_bom(char *p, size_t n);
/* Splits the record at *at, of a text that ends at end, into cells that lie in the text, which is overwritten; *at moves behind it. *n is 0 at
 * the end of the text. PM_EFORMAT: a quote is never closed, too many columns. */
pm_status pm_csv_record(char **at, char *end, pm_span cell[PM_CSV_COLUMNS], int *n, pm_err *e);
#endif
