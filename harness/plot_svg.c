/* plot_svg.c - gnuplot's SVG document as one element of a page.
 *
 * Several figures stand in one page, and gnuplot gives all of them the same ids: each gets its figure's key in front, where it is made and where
 * it is referred to. Its titles go: browsers show them as tooltips, and they say "plot 1".
 */
#include "plot_gnuplot.h"

#include <string.h>

static bool begins(const char *s, const char *word) {
    return strncmp(s, word, strlen(word)) == 0;
}

/* Behind `end`, or where s ends. */
static const char *behind(const char *s, const char *end) {
    const char *found = strstr(s, end);
    return found ? found + strlen(end) : s + strlen(s);
}

static void put_escaped(const char *s, pm_buf *out) {
    for (; *s; s++) {
        const char *as = *s == '&'   ? "&amp;"
                         : *s == '<' ? "&lt;"
                         : *s == '>' ? "&gt;"
                         : *s == '"' ? "&quot;"
                                     : NULL;
        if (as)
            pm_buf_puts(out, as);
        else
            pm_buf_put(out, (unsigned char)*s < 32 ? " " : s, 1);
    }
}

/* One tag, its ids and references marked. Returns what is behind it. */
static const char *put_tag(const char *s, const char *key, pm_buf *out) {
    static const char *const marks[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
    while (*s && *s != '>') {
        size_t n = 0;
        for (size_t i = 0; i < sizeof marks / sizeof *marks && !n; i++)
            if (begins(s, marks[i])) n = strlen(marks[i]);
        pm_buf_put(out, s, n ? n : 1);
        if (n) pm_buf_printf(out, "%s-", key);
        s += n ? n : 1;
    }
    if (*s) pm_buf_puts(out, ">"), s++;
    return s;
}

/* Text up to the next tag. gnuplot leaves '>' as it is, but "]]>" may not stand there. */
static const char *put_text(const char *s, pm_buf *out) {
    for (; *s && *s != '<'; s++)
        if (*s == '>')
            pm_buf_puts(out, "&gt;");
        else
            pm_buf_put(out, s, 1);
    return s;
}

pm_status pm_svg_inline(const char *svg, const char *key, const char *label, int width, int height,
                        pm_buf *out, pm_err *e) {
    const char *s = strstr(svg, "<svg");
    if (!s || !strstr(s, "</svg>")) return pm_fail(e, PM_EIO, "gnuplot: its output is no SVG document");
    s = behind(s, ">");
    pm_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" "
                  "width=\"100%%\" "
                  "viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                  width, height);
    put_escaped(label, out);
    pm_buf_puts(out, "\">");
    while (*s)
        if (begins(s, "<title>"))
            s = behind(s, "</title>");
        else if (*s == '<')
            s = put_tag(s, key, out);
        else
            s = put_text(s, out);
    return PM_OK;
}
