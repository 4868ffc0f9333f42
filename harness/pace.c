/* pace.c - the parent's side of pace.h. */
#include "pace.h"
#include "process.h"
#include "stats_sample.h"
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_S = 120 };
static const char *const side_name[] = {"base", "head"};

typedef struct pacer {
    pm_process p;
    char *names;              /* the line `ready ...` */
    int index[PM_PACE_UNITS]; /* of our units, in its numbering; -1: it does not know it */
} pacer;

static const char *program_of(const pm_pace *p, int side) {
    return p->build[side]->program;
}

/* Whether it says something within a time that no step of the embedded model takes; one that hangs is ended. Each answer is read before the next is
 * asked for, so nothing waits in the stream's buffer. */
static bool speaks(const pacer *c) {
    struct pollfd f = {.fd = fileno(c->p.out), .events = POLLIN};
    if (poll(&f, 1, PATIENCE_S * 1000) > 0) return true;
    kill(c->p.pid, SIGKILL);
    return false;
}

/* Why a child ended early, in its own words. */
static pm_status died(const pm_pace *p, int side, pacer *c, pm_err *e) {
    pm_buf said = {0};
    int code = pm_process_end(&c->p, &said);
    char *text = pm_buf_take(&said), *hint = strstr(text, "\nhint: ");
    if (hint) *hint = 0;
    bool old = code == 2 && strstr(text, "--pace");
    pm_fail(e, old ? PM_EUNSUPPORTED : PM_ECHECK, "%s cannot be timed: %s", side_name[side],
            *text                   ? pm_last_lines(text, 1)
            : code == 128 + SIGKILL ? "it was killed, or did not answer"
                                    : "it ended without a word");
    if (old)
        pm_hint(e, "%s is older than the speed tier: name a later commit", program_of(p, side));
    else
        pm_hint(e, "by hand: %s worker --pace '%s'", program_of(p, side), p->what);
    free(text);
    return e ? e->code : PM_ECHECK;
}

/* One thread, and its own tree's data. */
static pm_status start(const pm_pace *p, int side, pacer *c, pm_err *e) {
    char home[4200];
    snprintf(home, sizeof home, "PEFTMETER_HOME=%s", p->build[side]->root);
    const char *const env[] = {"OMP_NUM_THREADS=1", home, NULL};
    const char *const argv[] = {program_of(p, side), "worker", "--pace", p->what, NULL};
    *c = (pacer){0};
    return pm_process_start(argv, p->build[side]->root, env, &c->p, e);
}

static pm_status read_names(const pm_pace *p, int side, pacer *c, pm_err *e) {
    static const char ready[] = "ready";
    size_t room = 0;
    bool ok =
        speaks(c) && getline(&c->names, &room, c->p.out) > 0 && strncmp(c->names, ready, strlen(ready)) == 0;
    return ok ? PM_OK : died(p, side, c, e);
}

static void stop(pacer *c) {
    pm_process_end(&c->p, NULL);
    free(c->names);
    *c = (pacer){0};
}

/* Both get ready at once; the steps that follow are in turns. */
static pm_status start_both(const pm_pace *p, bool head_first, pacer c[2], int *failed, pm_err *e) {
    c[0] = c[1] = (pacer){0};
    pm_status rc = start(p, head_first, &c[head_first], e);
    if (!rc) rc = start(p, !head_first, &c[!head_first], e);
    for (int side = 0; side < 2 && !rc; side++) {
        *failed = side;
        rc = read_names(p, side, &c[side], e);
    }
    return rc;
}

/* The place of a name in the line `ready ...`, or -1. */
static int place_of(const char *names, const char *name) {
    int place = -1;
    for (const char *at = names; *at; place++) {
        size_t n = strcspn(at, " \n");
        if (place >= 0 && n == strlen(name) && strncmp(at, name, n) == 0) return place;
        at += n;
        at += strspn(at, " \n");
    }
    return -1;
}

pm_status pm_pace_units(const pm_pace *p, pm_pace_unit *out, int *n, int *failed, pm_err *e) {
    pacer c[2];
    pm_status rc = start_both(p, false, c, failed, e);
    char *rest = NULL, *copy = pm_xstrndup(rc ? "" : c[1].names, rc ? 0 : strlen(c[1].names));
    *n = 0;
    strtok_r(copy, " \n", &rest);
    for (char *w; !rc && *n < PM_PACE_UNITS && (w = strtok_r(NULL, " \n", &rest));) {
        if (place_of(c[0].names, w) < 0) continue;
        out[*n] = (pm_pace_unit){.wanted = true};
        snprintf(out[(*n)++].name, PM_PACE_NAME, "%s", w);
    }
    free(copy);
    for (int side = 0; side < 2; side++) stop(&c[side]);
    return rc;
}

static pm_status ask(const pm_pace *p, int side, pacer *c, int unit, double *seconds, pm_err *e) {
    char line[64], *end = line;
    fprintf(c->p.in, "%d\n", c->index[unit]);
    if (fflush(c->p.in) == 0 && speaks(c) && fgets(line, sizeof line, c->p.out))
        *seconds = strtod(line, &end);
    return end != line && *seconds > 0 ? PM_OK : died(p, side, c, e);
}

/* The times of one unit in one round, both sides; `first` does it first. */
static pm_status turn(const pm_pace *p, pacer c[2], int first, int unit, double t[2], pm_err *e) {
    pm_status rc = ask(p, first, &c[first], unit, &t[first], e);
    return rc ? rc : ask(p, !first, &c[!first], unit, &t[!first], e);
}

static double median(double *x, int n) {
    pm_sort(x, n);
    return pm_quantile(x, n, 0.5);
}

static pm_status run_rounds(const pm_pace *p, pacer c[2], bool head_first, pm_pace_unit *units, int n,
                            double *ratio, double *base, pm_err *e) {
    double t[2] = {0, 0};
    for (int r = -p->warmup; r < p->rounds; r++)
        for (int u = 0; u < n; u++) {
            if (!units[u].wanted) continue;
            pm_status rc = turn(p, c, (r + p->warmup + head_first) & 1, u, t, e);
            if (rc) return rc;
            if (r < 0) continue;
            ratio[u * p->rounds + r] = log(t[1] / t[0]);
            base[u * p->rounds + r] = t[0];
        }
    for (int u = 0; u < n; u++) {
        units[u].log_ratio = units[u].wanted ? median(ratio + u * p->rounds, p->rounds) : (double)NAN;
        units[u].base_s = units[u].wanted ? median(base + u * p->rounds, p->rounds) : (double)NAN;
    }
    return PM_OK;
}

pm_status pm_pace_pair(const pm_pace *p, bool head_first, pm_pace_unit *units, int n, pm_err *e) {
    pacer c[2];
    int failed;
    size_t bytes = (size_t)n * (size_t)p->rounds * sizeof(double);
    double *ratio = pm_xalloc(bytes), *base = pm_xalloc(bytes);
    pm_status rc = start_both(p, head_first, c, &failed, e);
    for (int side = 0; side < 2 && !rc; side++)
        for (int u = 0; u < n; u++) c[side].index[u] = place_of(c[side].names, units[u].name);
    if (!rc) rc = run_rounds(p, c, head_first, units, n, ratio, base, e);
    for (int side = 0; side < 2; side++) stop(&c[side]);
    free(ratio);
    free(base);
    return rc;
}
