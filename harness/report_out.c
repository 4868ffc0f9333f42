/* report_out.c - a report in one of the formats, to a file or standard output. */
#include "field.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

pm_status pm_format_find(const char *name, const pm_format **out, pm_err *e) {
    const char *known[16];
    int n = 0;
    for (const pm_format *f = pm_formats; f->name; f++) {
        if (strcmp(name, f->name) == 0) return *out = f, PM_OK;
        known[n++] = f->name;
    }
    const char *near = pm_nearest(name, known, n);
    pm_fail(e, PM_EUSAGE, "there is no format %.64s", name);
    return near ? pm_hint(e, "did you mean --format %s?", near)
                : pm_hint(e, "text, md, latex, csv, json, html");
}

static pm_status write_out(const pm_buf *b, const char *file, pm_err *e) {
    FILE *f = file ? fopen(file, "w") : stdout;
    if (!f) {
        pm_fail(e, PM_EIO, "%s: open: %s", file, strerror(errno));
        return pm_hint(e, "check that the folder exists and may be written, or name another file with --out");
    }
    bool ok = fwrite(b->p ? b->p : "", 1, b->n, f) == b->n;
    if (file && fclose(f) != 0) ok = false;
    if (ok) return PM_OK;
    pm_fail(e, PM_EIO, "%s: write: %s", file ? file : "standard output", strerror(errno));
    return pm_hint(e, "free some space, or name another file with --out");
}

pm_status pm_report_write(const pm_report *r, const pm_format *f, const char *file, pm_err *e) {
    pm_buf text = {0};
    f->print(r, &text);
    pm_status s = write_out(&text, file, e);
    pm_buf_free(&text);
    return s;
}
