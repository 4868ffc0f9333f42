/* regress_junit.c - cases as JUnit XML, in the form that both schemas in use accept: Jenkins' (xunit plugin, junit-10.xsd) and the stricter one of
 * Apache Ant's reports (JUnit.xsd): every suite with package, id, host, time, properties and both streams.
 */
#include "regress_recorded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* For the text of an element or an attribute; control characters, which XML 1.0 has not, become blanks. */
static const pm_markup xml = {
    .special = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {0, NULL}}, .control = ' '};

static void put(pm_buf *b, const char *s) {
    char *clean = pm_utf8_clean(s);
    pm_put_text(&xml, clean, b);
    free(clean);
}

static void put_attribute(pm_buf *b, const char *name, const char *value) {
    pm_buf_printf(b, " %s=\"", name);
    put(b, value);
    pm_buf_puts(b, "\"");
}

static void put_outcome(pm_buf *b, const char *element, const pm_case *c) {
    pm_buf_printf(b, "\n      <%s", element);
    put_attribute(b, "type", pm_case_verdict_name(c->verdict));
    put_attribute(b, "message", c->text);
    pm_buf_puts(b, "/>\n    ");
}

static void put_case(pm_buf *b, const pm_case *c) {
    char name[256], class[64];
    snprintf(name, sizeof name, "%.180s: %.60s", c->name, c->metric);
    snprintf(class, sizeof class, "peftmeter.%.40s", c->tier);
    pm_buf_puts(b, "    <testcase");
    put_attribute(b, "name", name);
    put_attribute(b, "classname", class);
    pm_buf_puts(b, " time=\"0\">");
    if (c->verdict == PM_CASE_WORSE) put_outcome(b, "failure", c);
    if (c->verdict == PM_CASE_UNDECIDED) put_outcome(b, "skipped", c);
    pm_buf_puts(b, "</testcase>\n");
}

static int count(const pm_regress *g, const char *tier, pm_case_verdict v) {
    int n = 0;
    for (int i = 0; i < g->n_cases; i++) n += strcmp(g->cases[i].tier, tier) == 0 && g->cases[i].verdict == v;
    return n;
}

/* What the suite has to say that is no failure: what got better, stands apart or is explained. */
static void put_words(pm_buf *b, const pm_regress *g, const char *tier) {
    for (int i = 0; i < g->n_cases; i++) {
        const pm_case *c = &g->cases[i];
        bool told = c->verdict == PM_CASE_BETTER || c->verdict == PM_CASE_APART ||
                    (c->verdict == PM_CASE_SAME && strstr(c->text, "explained"));
        if (strcmp(c->tier, tier) != 0 || !told) continue;
        put(b, c->name), pm_buf_puts(b, ", "), put(b, c->metric);
        pm_buf_printf(b, ", %s: ", pm_case_verdict_name(c->verdict));
        put(b, c->text), pm_buf_puts(b, "\n");
    }
}

static void put_suite(pm_buf *b, const pm_regress *g, const char *tier, int id, const char *when) {
    char host[128] = "localhost";
    int cases = 0;
    for (int i = 0; i < g->n_cases; i++) cases += strcmp(g->cases[i].tier, tier) == 0;
    gethostname(host, sizeof host - 1);
    pm_buf_puts(b, "  <testsuite");
    put_attribute(b, "name", tier);
    put_attribute(b, "package", "peftmeter");
    put_attribute(b, "timestamp", when);
    put_attribute(b, "hostname", *host ? host : "localhost");
    pm_buf_printf(b, " id=\"%d\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"%d\" time=\"0\">\n", id,
                  cases, count(g, tier, PM_CASE_WORSE), count(g, tier, PM_CASE_UNDECIDED));
    pm_buf_puts(b, "    <properties/>\n");
    for (int i = 0; i < g->n_cases; i++)
        if (strcmp(g->cases[i].tier, tier) == 0) put_case(b, &g->cases[i]);
    pm_buf_puts(b, "    <system-out>");
    put_words(b, g, tier);
    pm_buf_puts(b, "</system-out>\n    <system-err></system-err>\n  </testsuite>\n");
}

static bool is_first_of_tier(const pm_regress *g, int i) {
    for (int k = 0; k < i; k++)
        if (strcmp(g->cases[k].tier, g->cases[i].tier) == 0) return false;
    return true;
}

static void put_all(pm_buf *b, const pm_regress *g) {
    char when[32] = "1970-01-01T00:00:00";
    time_t now = time(NULL);
    struct tm utc;
    int id = 0;
    if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    pm_buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (int i = 0; i < g->n_cases; i++)
        if (is_first_of_tier(g, i)) put_suite(b, g, g->cases[i].tier, id++, when);
    pm_buf_puts(b, "</testsuites>\n");
}

pm_status pm_regress_junit(const pm_regress *g, const char *path, pm_err *e) {
    pm_buf b = {0};
    FILE *f = fopen(path, "w");
    put_all(&b, g);
    bool ok = f && fwrite(b.p, 1, b.n, f) == b.n;
    int why = errno;
    if (f && fclose(f) != 0) ok = false, why = errno;
    pm_buf_free(&b);
    if (ok) return PM_OK;
    pm_fail(e, PM_EIO, "%s: write: %s", path, strerror(why));
    return pm_hint(e, "check that the folder exists and has room, or name another file with --junit");
}
