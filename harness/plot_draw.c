/* plot_draw.c - data as statements of gnuplot. Every text goes through pm_plot_quote: in double quotes gnuplot knows escapes, and anywhere in a line
 * command substitution in backquotes; an octal escape is read as neither.
 */
#include "plot_draw.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

/* The next character of s, U+FFFD for bytes that are none and ' ' for what XML or a line cannot hold. Returns its bytes. */
static size_t next_char(const char *s, int32_t *c) {
    utf8proc_int32_t x;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)strlen(s), &x);
    bool none = used < 1 || x == 0xFFFE || x == 0xFFFF;
    bool control = !none && (x < 32 || (x >= 127 && x < 160) || x == 0x2028 || x == 0x2029);
    *c = none ? 0xFFFD : control ? ' ' : x;
    return used < 1 ? 1 : (size_t)used;
}

/* Behind an escape digits are escaped too: gnuplot would take them for more of it. Returns whether it is one. */
static bool put_char(int32_t c, bool behind_escape, pm_buf *out) {
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, bytes);
    bool plain = c >= 128 || isalpha((unsigned char)c) || strchr(" ._-", c);
    bool escape = !plain && (behind_escape || !isdigit((unsigned char)c));
    if (escape)
        pm_buf_printf(out, "\\%03o", (unsigned)c);
    else
        pm_buf_put(out, (const char *)bytes, (size_t)n);
    return escape;
}

static int count_chars(const char *s) {
    int n = 0;
    for (int32_t c; *s; s += next_char(s, &c)) n++;
    return n;
}

void pm_plot_quote(const char *s, int most, pm_buf *out) {
    int n = count_chars(s), shown = n <= most ? n : most - 3;
    bool escape = false;
    pm_buf_puts(out, "\"");
    for (int i = 0; i < shown; i++) {
        int32_t c;
        s += next_char(s, &c);
        escape = put_char(c, escape, out);
    }
    pm_buf_puts(out, shown < n ? "...\"" : "\"");
}

void pm_plot_set_text(pm_plot *p, const char *variable, const char *s) {
    pm_buf_printf(&p->data, "%s = ", variable);
    pm_plot_quote(s, 200, &p->data);
    pm_buf_puts(&p->data, "\n");
}

void pm_plot_set_names(pm_plot *p, char *const *name, int n) {
    pm_buf_printf(&p->data, "n = %d\narray name[%d]\n", n, n > 0 ? n : 1);
    for (int i = 0; i < n; i++) {
        pm_buf_printf(&p->data, "name[%d] = ", i + 1);
        pm_plot_quote(name[i], PM_PLOT_NAME_MOST, &p->data);
        pm_buf_puts(&p->data, "\n");
    }
}

void pm_plot_add_label(pm_plot *p, const char *s, double x, double y, const char *align) {
    pm_buf_puts(&p->data, "set label ");
    pm_plot_quote(s, PM_PLOT_NAME_MOST, &p->data);
    pm_buf_printf(&p->data, " at screen %.5f,%.5f %s front\n", x / PM_PLOT_WIDTH, 1 - y / p->height, align);
}

void pm_plot_add_line(pm_plot *p, double x0, double y0, double x1, double y1) {
    pm_buf_printf(&p->data,
                  "set arrow from screen %.5f,%.5f to screen %.5f,%.5f nohead back lw 0.7 lc rgb '#777777'\n",
                  x0 / PM_PLOT_WIDTH, 1 - y0 / p->height, x1 / PM_PLOT_WIDTH, 1 - y1 / p->height);
}

double pm_plot_text_width(const char *s) {
    int n = count_chars(s);
    return (n < PM_PLOT_NAME_MOST ? n : PM_PLOT_NAME_MOST) * PM_PLOT_FONT * 0.62;
}

double pm_plot_names_width(char *const *name, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, pm_plot_text_width(name[i]));
    return most;
}

void pm_plot_set_legend(pm_plot *p, char *const *name, int n) {
    enum { SAMPLE = 84, LINE = 18 };
    pm_plot_set_names(p, name, n);
    p->right = SAMPLE + (int)pm_plot_names_width(name, n);
    if (p->height < p->top + p->bottom + LINE * n) p->height = p->top + p->bottom + LINE * n;
}

char *pm_plot_row_name(const pm_plot *p, const pm_fair *f, int setup) {
    pm_buf b = {0};
    const char *badge = f ? pm_fair_badge(p->in->r, f, setup) : NULL;
    pm_buf_puts(&b, p->in->r->setup[setup].name);
    if (badge) pm_buf_printf(&b, " (differs: %s)", badge);
    return pm_buf_take(&b);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

void pm_plot_row(pm_plot *p, const double *x, int n) {
    for (int i = 0; i < n; i++) {
        const char *gap = i + 1 < n ? " " : "\n";
        if (isfinite(x[i]))
            pm_buf_printf(&p->data, "%.9g%s", x[i], gap);
        else
            pm_buf_printf(&p->data, "NaN%s", gap);
    }
}

void pm_plot_begin(pm_plot *p, const char *table) {
    pm_buf_printf(&p->data, "$%s << END\n", table);
}

void pm_plot_next(pm_plot *p) {
    pm_buf_puts(&p->data, "\n\n");
}

void pm_plot_end(pm_plot *p) {
    pm_buf_puts(&p->data, "END\n");
}

void pm_plot_range(pm_plot *p, char axis, double low, double high) {
    pm_buf_printf(&p->data, "set %crange [%.9g:%.9g]\n", axis, low, high);
}

void pm_plot_log_tics(pm_plot *p, char axis, double low, double high) {
    static const double few[] = {1}, many[] = {1, 2, 5};
    bool wide = log10(high / low) > 2.5;
    const double *digit = wide ? few : many;
    int n = 0;
    pm_buf_printf(&p->data, "set %ctics (", axis);
    for (int e = (int)floor(log10(low)); e <= (int)ceil(log10(high)); e++)
        for (int i = 0; i < (wide ? 1 : 3); i++) {
            double x = digit[i] * pow(10, e);
            if (x >= low && x <= high) pm_buf_printf(&p->data, "%s%.9g", n++ ? ", " : "", x);
        }
    pm_buf_puts(&p->data, ")\n");
}
