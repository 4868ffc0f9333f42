/* sweep_shard.c - which part of a plan does a run. It depends on the plan alone, so that processes that share nothing but the plan and what
 * is done agree: every run has one owner, however many parts there are.
 *
 * The runs of a stage go round the shards in the plan's order. With more shards than methods a method's trials are spread as well, and
 * neighbours, which cost about the same, do not meet in one shard.
 */
#include "sweep_run.h"
#include <string.h>

/* Among the final runs of all methods, chosen or not: its place must not move when another method gets its choice. */
static int final_place(const pm_sweeping *w, const pm_cell *c, int k) {
    int n = 0;
    for (const pm_cell *o = w->cell; o < c; o++) n += pm_sweep_final_seeds(w, o);
    return n + k;
}

static int place(const pm_sweeping *w, const pm_job *j) {
    int i = (int)(j - w->job);
    if (j->final) return final_place(w, j->cell, i - j->cell->first_final);
    return w->plan->flops > 0 ? (int)(j->cell - w->cell) : i;
}

/* The first of those with the same settings: two shards would do it twice, and read test data twice. */
static const pm_job *owner(const pm_sweeping *w, const pm_job *j) {
    if (!j->final && w->plan->flops > 0) return j;
    const pm_job *o = w->job + (j->final ? w->n_tune : 0);
    while (o < j && strcmp(o->key, j->key) != 0) o++;
    return o;
}

int pm_shard_of(const pm_sweeping *w, const pm_job *j, int shards) {
    return place(w, owner(w, j)) % shards + 1;
}

bool pm_shard_is_ours(const pm_sweeping *w, const pm_job *j) {
    static const bool starts[][2] = {[PM_STAGE_BOTH] = {true, true},
                                     [PM_STAGE_TUNE] = {true, false},
                                     [PM_STAGE_FINAL] = {false, true},
                                     [PM_STAGE_NEITHER] = {false, false}};
    return starts[w->part.stage][j->final] &&
           (!w->part.shards || pm_shard_of(w, j, w->part.shards) == w->part.shard);
}

static bool is_missing(const pm_job *j) {
    return j->state == PM_JOB_WAITING || j->state == PM_JOB_ELSEWHERE || j->state == PM_JOB_FAILED;
}

/* Whether its choice waits for a trial. */
static bool is_open(const pm_sweeping *w, const pm_cell *c) {
    bool open = false;
    for (const pm_job *j = w->job + c->first; j < w->job + c->first + c->n_tune; j++)
        open = open || is_missing(j);
    return c->chosen < 0 && open;
}

int pm_shard_needs(const pm_sweeping *w, bool final, int shards, bool *need) {
    int n = 0;
    for (const pm_job *j = w->job; j < w->job + w->n_jobs; j++) {
        if (j->final != final || !is_missing(j)) continue;
        need[pm_shard_of(w, j, shards) - 1] = true;
        n++;
    }
    for (const pm_cell *c = w->cell; final && c < w->cell + w->n_cells; c++)
        for (int k = 0; is_open(w, c) && k < pm_sweep_final_seeds(w, c); k++, n++)
            need[final_place(w, c, k) % shards] = true;
    return n;
}
