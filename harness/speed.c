/* speed.c - batches, looks and confirmation over many units (speed.h). */
#include "speed.h"
#include "cmd.h"
#include "progress.h"
#include "rng.h"
#include <math.h>
#include <string.h>

/* In turns (pace.h). Steps: the first four are dropped, for pages, caches and clocks settle. */
enum { STEPS_WARMUP = 4, STEPS = 20, KERNEL_WARMUP = 2, KERNEL_ROUNDS = 60 };

bool pm_work_is_steps(const pm_work *w) {
    return *w->what == '{';
}

bool pm_speed_regressed(const pm_speed_unit *u) {
    return u->test[PM_SPEED_FIRST].verdict == PM_SPEED_SLOWER &&
           u->test[PM_SPEED_AGAIN].verdict == PM_SPEED_SLOWER;
}

bool pm_speed_hidden(const pm_speed_unit *u) {
    const pm_speed_test *t = &u->test[PM_SPEED_FIRST];
    return t->verdict == PM_SPEED_SAME && t->slowdown > PM_SPEED_LEAST && t->limits.low > 0;
}

static pm_pace pace_of(const pm_duel *d, int w) {
    bool steps = pm_work_is_steps(&d->work[w]);
    return (pm_pace){.build = {d->build[0], d->build[1]},
                     .what = d->work[w].what,
                     .warmup = steps ? STEPS_WARMUP : KERNEL_WARMUP,
                     .rounds = steps ? STEPS : KERNEL_ROUNDS};
}

/* ---- units --------------------------------------------------------------------------------------------------------------- */

static pm_speed_unit *add_unit(pm_duel *d, const char *name, int work, int place) {
    pm_speed_unit *u = &d->unit[d->n++];
    *u = (pm_speed_unit){.name = name, .work = work, .place = place, .base_s = (double)NAN};
    for (int look = 0; look < PM_SPEED_LOOKS; look++) u->least[look] = PM_SPEED_LEAST;
    return u;
}

/* The only unit of a training run bears the run's label; kernels their own names. */
static void add_units(pm_duel *d, int w) {
    for (int i = 0; i < d->n_pace[w]; i++)
        add_unit(d, pm_work_is_steps(&d->work[w]) ? d->work[w].label : d->pace[w][i].name, w, i);
}

static void *room(pm_arena *a, int n, size_t size) {
    return pm_arena_zalloc(a, (size_t)n * size, PM_MEM_WORKSPACE);
}

pm_status pm_duel_open(const pm_build *base, const pm_build *head, const pm_work *work, int n_works,
                       pm_arena *keep, pm_duel *out, pm_err *e) {
    pm_duel d = {.build = {base, head}, .work = work, .n_works = n_works, .keep = keep};
    pm_status rc = PM_OK;
    int most = 1, steps = 0;
    d.pace = room(keep, n_works, sizeof *d.pace);
    d.n_pace = room(keep, n_works, sizeof *d.n_pace);
    d.trouble = room(keep, n_works, sizeof *d.trouble);
    d.failed = room(keep, n_works, sizeof *d.failed);
    for (int w = 0; w < n_works && !rc; w++) {
        pm_pace p = pace_of(&d, w);
        pm_status lacks = pm_pace_units(&p, d.pace[w], &d.n_pace[w], &d.failed[w], &d.trouble[w]);
        if (lacks && lacks != PM_ECHECK) *e = d.trouble[w], rc = lacks;
        most += d.n_pace[w];
    }
    if (rc) return rc;
    d.unit = room(keep, most, sizeof *d.unit);
    for (int w = 0; w < n_works; w++) {
        steps += pm_work_is_steps(&work[w]) && d.n_pace[w];
        add_units(&d, w);
    }
    if (steps > 1) add_unit(&d, "all methods", -1, 0);
    *out = d;
    return PM_OK;
}

static bool is_all(const pm_speed_unit *u) {
    return u->work < 0;
}

/* Another pair would tell something about this unit by itself. */
static bool is_open(const pm_speed_unit *u, int batch) {
    if (batch == PM_SPEED_AGAIN && u->test[PM_SPEED_FIRST].verdict != PM_SPEED_SLOWER) return false;
    return u->test[batch].verdict == PM_SPEED_OPEN;
}

static bool all_methods_open(const pm_duel *d, int batch) {
    const pm_speed_unit *last = &d->unit[d->n - 1];
    return d->n && is_all(last) && is_open(last, batch);
}

static bool is_wanted(const pm_duel *d, const pm_speed_unit *u, int batch) {
    if (is_all(u)) return false;
    return is_open(u, batch) || (pm_work_is_steps(&d->work[u->work]) && all_methods_open(d, batch));
}

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

/* One pair of processes of a work; nothing where none of its units is wanted. */
static pm_status measure(pm_duel *d, int w, int batch, int pair, pm_err *e) {
    pm_pace p = pace_of(d, w);
    bool any = false, head_first = pm_rng_at((uint64_t)batch, (uint64_t)w, (uint64_t)pair) & 1;
    for (int u = 0; u < d->n; u++) {
        pm_speed_unit *unit = &d->unit[u];
        if (unit->work != w) continue;
        bool wanted = is_wanted(d, unit, batch) && unit->n[batch] == pair;
        d->pace[w][unit->place].wanted = wanted;
        any |= wanted;
    }
    if (!any) return PM_OK;
    pm_status rc = pm_pace_pair(&p, head_first, d->pace[w], d->n_pace[w], e);
    for (int u = 0; u < d->n && !rc; u++) {
        pm_speed_unit *unit = &d->unit[u];
        const pm_pace_unit *got = unit->work == w ? &d->pace[w][unit->place] : NULL;
        if (!got || !got->wanted) continue;
        unit->x[batch][unit->n[batch]++] = got->log_ratio;
        unit->base_s = got->base_s;
    }
    return rc;
}

/* All methods: the mean of each pair. */
static void pool(pm_duel *d, int batch, int pairs) {
    pm_speed_unit *all = &d->unit[d->n - 1];
    if (!is_all(all) || !is_open(all, batch)) return;
    for (int i = all->n[batch]; i < pairs; i++) {
        double sum = 0;
        int n = 0;
        for (int u = 0; u < d->n - 1; u++)
            if (pm_work_is_steps(&d->work[d->unit[u].work])) sum += d->unit[u].x[batch][i], n++;
        all->x[batch][i] = sum / n;
    }
    all->n[batch] = pairs;
}

static int count_open(const pm_duel *d, int batch) {
    int n = 0;
    for (int u = 0; u < d->n; u++) n += is_open(&d->unit[u], batch);
    return n;
}

static pm_status measure_to(pm_duel *d, int batch, int pairs, pm_progress *bar, pm_err *e) {
    static const char *const name[] = {"first batch", "confirming"};
    for (int pair = 0; pair < pairs; pair++)
        for (int w = 0; w < d->n_works; w++) {
            pm_status rc = measure(d, w, batch, pair, e);
            if (rc) return rc;
            if (pm_interrupted) return pm_fail(e, PM_ECANCELLED, "interrupted; nothing was decided");
            pm_progress_update(bar, (int64_t)pair * d->n_works + w + 1, "%s, %d of %d units open",
                               name[batch], count_open(d, batch), d->n);
        }
    pool(d, batch, pairs);
    return PM_OK;
}

pm_status pm_duel_measure(pm_duel *d, int pairs, pm_err *e) {
    PM_ASSERT(pairs >= 1 && pairs <= PM_SPEED_PAIRS, "%d pairs", pairs);
    pm_progress bar;
    pm_progress_begin(&bar, "pairs", (int64_t)pairs * d->n_works, "pair");
    pm_status rc = measure_to(d, PM_SPEED_FIRST, pairs, &bar, e);
    pm_progress_end(&bar);
    return rc;
}

static void judge(pm_duel *d, int batch, int look) {
    for (int u = 0; u < d->n; u++) {
        pm_speed_unit *unit = &d->unit[u];
        if (is_open(unit, batch))
            unit->test[batch] = pm_speed_judge(unit->x[batch], look, unit->least[look], d->keep);
    }
}

static pm_status look_once(pm_duel *d, int batch, int look, pm_err *e) {
    pm_progress bar;
    pm_progress_begin(&bar, "pairs", (int64_t)pm_speed_looks[look].pairs * d->n_works, "pair");
    bar.first = look ? (int64_t)pm_speed_looks[look - 1].pairs * d->n_works : 0;
    pm_status rc = measure_to(d, batch, pm_speed_looks[look].pairs, &bar, e);
    pm_progress_end(&bar);
    if (!rc) judge(d, batch, look);
    return rc;
}

static pm_status confirm(pm_duel *d, pm_err *e) {
    pm_status rc = PM_OK;
    for (int look = 0; look < PM_SPEED_LOOKS && !rc && count_open(d, PM_SPEED_AGAIN); look++)
        rc = look_once(d, PM_SPEED_AGAIN, look, e);
    return rc;
}

static bool any_regressed(const pm_duel *d) {
    for (int u = 0; u < d->n; u++)
        if (pm_speed_regressed(&d->unit[u])) return true;
    return false;
}

/* What is called is confirmed at once: when a regression is certain, what is open may stay so. */
pm_status pm_duel_run(pm_duel *d, pm_err *e) {
    pm_status rc = PM_OK;
    for (int look = 0; look < PM_SPEED_LOOKS && !rc && count_open(d, PM_SPEED_FIRST) && !any_regressed(d);
         look++) {
        rc = look_once(d, PM_SPEED_FIRST, look, e);
        if (!rc) rc = confirm(d, e);
    }
    return rc;
}
