/* test_shard.c - the parts of a plan: every run in exactly one, whatever their number and whatever is done; and how Slurm's script and
 * arrays are written.
 */
#include "sweep_slurm.h"

#include "check.h"
#include <stdlib.h>

enum { CELLS = 3, TRIALS = 4, SEEDS = 3, TUNE = CELLS * TRIALS, FINALS = CELLS * SEEDS, ALL = TUNE + FINALS };

/* A plan of three methods, laid out, with nothing done; the methods whose bit is set in `chosen` have their final runs. */
typedef struct bench {
    pm_sweep plan;
    pm_entry entry;
    pm_cell cell[CELLS];
    pm_job job[ALL];
    pm_sweeping w;
} bench;

static void lay_out(bench *b, unsigned chosen) {
    static const pm_method method = {.name = "m"};
    *b = (bench){.plan = {.n_seeds = SEEDS}, .entry = {.method = &method}};
    b->w = (pm_sweeping){.plan = &b->plan, .cell = b->cell, .job = b->job, .n_cells = CELLS, .n_tune = TUNE};
    int n = 0;
    for (int c = 0; c < CELLS; c++) {
        b->cell[c] = (pm_cell){.entry = &b->entry, .chosen = -1, .first = n, .n_tune = TRIALS};
        for (int t = 0; t < TRIALS; t++) b->job[n++] = (pm_job){.cell = &b->cell[c], .trial = t};
    }
    for (int c = 0; c < CELLS; c++) {
        b->cell[c].first_final = n;
        if (!(chosen >> c & 1)) continue;
        b->cell[c].chosen = 0;
        b->cell[c].n_final = SEEDS;
        for (int k = 0; k < SEEDS; k++) b->job[n++] = (pm_job){.cell = &b->cell[c], .seed = k, .final = true};
    }
    b->w.n_jobs = n;
    for (int i = 0; i < n; i++) {
        const pm_job *j = &b->job[i];
        snprintf(b->job[i].key, sizeof b->job[i].key, "%d %d %d %d", (int)(j->cell - b->cell), j->final,
                 j->trial, j->seed);
    }
}

static int owners(bench *b, const pm_job *j, pm_stage stage, int shards) {
    int n = 0;
    for (int s = 1; s <= shards; s++) {
        b->w.part = (pm_part){stage, s, shards};
        n += pm_shard_is_ours(&b->w, j);
    }
    return n;
}

static void shards_cover_every_run_once(void) {
    bench b;
    lay_out(&b, 7);
    for (int shards = 1; shards <= ALL + 3; shards++)
        for (int i = 0; i < ALL; i++) {
            bool final = b.job[i].final;
            CHECK_EQ_INT(owners(&b, &b.job[i], PM_STAGE_BOTH, shards), 1);
            CHECK_EQ_INT(owners(&b, &b.job[i], PM_STAGE_TUNE, shards), !final);
            CHECK_EQ_INT(owners(&b, &b.job[i], PM_STAGE_FINAL, shards), final);
            CHECK_EQ_INT(owners(&b, &b.job[i], PM_STAGE_NEITHER, shards), 0);
        }
    b.w.part = (pm_part){PM_STAGE_BOTH, 0, 0};
    for (int i = 0; i < ALL; i++) CHECK(pm_shard_is_ours(&b.w, &b.job[i]));
}

static void shards_are_level(void) {
    bench b;
    lay_out(&b, 7);
    for (int shards = 1; shards <= ALL; shards++)
        for (int from = 0; from < ALL; from += TUNE) {
            int to = from ? ALL : TUNE, least = ALL, most = 0;
            for (int s = 1; s <= shards; s++) {
                int n = 0;
                for (int i = from; i < to; i++) n += pm_shard_of(&b.w, &b.job[i], shards) == s;
                least = n < least ? n : least;
                most = n > most ? n : most;
            }
            CHECK(most - least <= 1);
        }
}

/* What is done, and which methods have their choice, changes no owner. */
static void shards_do_not_move(void) {
    bench all, some;
    lay_out(&all, 7);
    lay_out(&some, 4);
    for (int i = 0; i < TUNE; i++) some.job[i].state = (pm_job_state)(i % 6);
    for (int shards = 1; shards <= ALL; shards++) {
        for (int i = 0; i < TUNE; i++)
            CHECK_EQ_INT(pm_shard_of(&some.w, &some.job[i], shards),
                         pm_shard_of(&all.w, &all.job[i], shards));
        for (int k = 0; k < SEEDS; k++)
            CHECK_EQ_INT(pm_shard_of(&some.w, &some.job[TUNE + k], shards),
                         pm_shard_of(&all.w, &all.job[TUNE + 2 * SEEDS + k], shards));
    }
}

/* Two labels that chose the same settings are one run, and test data is read for it once. */
static void shards_keep_equal_runs_together(void) {
    bench b;
    lay_out(&b, 7);
    for (int k = 0; k < SEEDS; k++)
        memcpy(b.job[TUNE + SEEDS + k].key, b.job[TUNE + k].key, sizeof b.job[TUNE].key);
    memcpy(b.job[5].key, b.job[1].key, sizeof b.job[1].key);
    for (int shards = 1; shards <= ALL; shards++) {
        CHECK_EQ_INT(pm_shard_of(&b.w, &b.job[5], shards), pm_shard_of(&b.w, &b.job[1], shards));
        for (int k = 0; k < SEEDS; k++)
            CHECK_EQ_INT(pm_shard_of(&b.w, &b.job[TUNE + SEEDS + k], shards),
                         pm_shard_of(&b.w, &b.job[TUNE + k], shards));
    }
}

/* In a budget of FLOPs a method's trials wait for each other: whoever has one has all. */
static void shards_keep_a_budget_together(void) {
    bench b;
    lay_out(&b, 7);
    b.plan.flops = 1e9;
    memcpy(b.job[TRIALS].key, b.job[0].key, sizeof b.job[0].key);
    for (int shards = 1; shards <= ALL; shards++)
        for (int i = 0; i < TUNE; i++)
            CHECK_EQ_INT(pm_shard_of(&b.w, &b.job[i], shards), i / TRIALS % shards + 1);
}

/* The shards that are asked for before anything is chosen are those that own the runs once it is. */
static void needs_name_the_owners(void) {
    bench before, after;
    lay_out(&before, 0);
    lay_out(&after, 7);
    for (int shards = 1; shards <= ALL; shards++) {
        bool tune[ALL] = {false}, final[ALL] = {false}, wanted[ALL] = {false};
        CHECK_EQ_INT(pm_shard_needs(&before.w, false, shards, tune), TUNE);
        CHECK_EQ_INT(pm_shard_needs(&before.w, true, shards, final), FINALS);
        for (int i = 0; i < TUNE; i++) wanted[pm_shard_of(&before.w, &before.job[i], shards) - 1] = true;
        CHECK(memcmp(tune, wanted, sizeof tune) == 0);
        memset(wanted, 0, sizeof wanted);
        for (int i = TUNE; i < ALL; i++) wanted[pm_shard_of(&after.w, &after.job[i], shards) - 1] = true;
        CHECK(memcmp(final, wanted, sizeof final) == 0);
    }
}

static void needs_leave_out_what_is_done(void) {
    bench b;
    bool need[ALL] = {false};
    lay_out(&b, 4); /* the first two methods wait for trials */
    for (int i = 0; i < b.w.n_jobs; i++) b.job[i].state = PM_JOB_OK;
    b.job[2].state = PM_JOB_FAILED;
    b.job[5].state = PM_JOB_ELSEWHERE;
    b.job[6].state = PM_JOB_DIVERGED;
    b.job[7].state = PM_JOB_OVER_BUDGET;
    CHECK_EQ_INT(pm_shard_needs(&b.w, false, ALL, need), 2);
    CHECK(need[2] && need[5] && !need[6] && !need[7]);
    CHECK_EQ_INT(pm_shard_needs(&b.w, true, ALL, need), 2 * SEEDS);
    b.job[5].state = PM_JOB_DIVERGED; /* nothing can be chosen of the second method: no run is missing */
    CHECK_EQ_INT(pm_shard_needs(&b.w, true, ALL, need), SEEDS);
}

static void ranges_are_written_as_slurm_reads_them(void) {
    static const struct {
        const char *need, *text;
    } want[] = {{"", ""},          {"0000", ""},           {"1", "1"},   {"0001", "4"}, {"1111", "1-4"},
                {"1011", "1,3-4"}, {"0110101", "2-3,5,7"}, {"11", "1-2"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bool need[8] = {false};
        int n = (int)strlen(want[i].need);
        for (int s = 0; s < n; s++) need[s] = want[i].need[s] == '1';
        pm_buf b = {0};
        pm_shard_ranges(need, n, &b);
        CHECK_EQ_STR(b.p ? b.p : "", want[i].text);
        pm_buf_free(&b);
    }
}

/* The shell itself says what it reads. */
static void quotes_survive_a_shell(void) {
    static const char *const words[] = {
        "plain",     "",           "with space", "it's",  "''", "$HOME `id` $(id)",
        "a\\b\"c\"", "two\nlines", "-n",         "*?[x]", "~",  "caf\xc3\xa9;&|<>"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        pm_buf b = {0};
        char got[64] = "";
        pm_buf_puts(&b, "printf '%s.' ");
        pm_shell_quote(&b, words[i]);
        FILE *f = popen(b.p, "r");
        size_t n = f ? fread(got, 1, sizeof got - 1, f) : 0;
        if (f) pclose(f);
        CHECK(n > 0 && got[n - 1] == '.');
        got[n ? n - 1 : 0] = 0;
        CHECK_EQ_STR(got, words[i]);
        pm_buf_free(&b);
    }
}

int main(void) {
    RUN(shards_cover_every_run_once);
    RUN(shards_are_level);
    RUN(shards_do_not_move);
    RUN(shards_keep_equal_runs_together);
    RUN(shards_keep_a_budget_together);
    RUN(needs_name_the_owners);
    RUN(needs_leave_out_what_is_done);
    RUN(ranges_are_written_as_slurm_reads_them);
    RUN(quotes_survive_a_shell);
    return check_done();
}
