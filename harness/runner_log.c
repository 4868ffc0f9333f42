/* runner_log.c - rows and the closing summary of one run. */
#include "runner_log.h"
#include "cmd.h"
#include "fetch.h"
#include "noise.h"
#include "resident.h"
#include "roofline.h"
#include "text.h"
#include "usage.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- speed ---- */

void pm_speed_add(pm_speed *s, const pm_step *st) {
    if (st->step < PM_SPEED_WARMUP) {
        s->dropped++;
        return;
    }
    s->steps++;
    s->tokens += st->tokens;
    s->wall_s += st->wall_s;
}

double pm_speed_tokens_per_s(const pm_speed *s) {
    return s->steps ? (double)s->tokens / s->wall_s : (double)NAN;
}

/* ---- row and transactions ---- */

pm_status pm_runlog_open(pm_runlog *l, const char *path, const pm_config *c, int64_t run_id, pm_db_run *row,
                         pm_err *e) {
    int threads = pm_config_threads(c);
    l->db_path = path;
    l->threads = threads;
    l->peak_rss = -1;
    pm_status rc = pm_backend_start(c, e);
    if (!rc && pm_mkdir_parent(path, e)) rc = pm_hint(e, "name another file with --db");
    if (!rc) rc = pm_db_open(path, &l->db, e);
    if (!rc) rc = pm_db_host(l->db, pm_gemm_backend(), pm_gemm_version(), threads, &l->host_id, e);
    row->host_id = l->host_id;
    l->run_id = run_id;
    if (!rc && !run_id) rc = pm_db_run_begin(l->db, row, &l->run_id, e);
    l->flushed = pm_now_s();
    return rc;
}

static void drop_waiting(pm_runlog *l) {
    pm_outcomes_clear(&l->items);
    l->n_steps = 0;
}

void pm_runlog_close(pm_runlog *l) {
    drop_waiting(l);
    free(l->step);
    pm_db_close(l->db);
    l->db = NULL;
}

/* ---- rows ---- */

static pm_status write_waiting(pm_runlog *l, pm_err *e) {
    pm_status rc = PM_OK;
    for (int i = 0; i < l->n_steps && !rc; i++) {
        const pm_step *s = &l->step[i];
        rc = pm_db_step(l->db, l->run_id, s->step, s->loss, s->lr, s->grad_norm, s->tokens, s->label_tokens,
                        s->wall_s, e);
    }
    if (!rc && l->items.n) rc = pm_outcomes_write(l->db, l->run_id, l->split, l->items.item, l->items.n, e);
    return rc;
}

pm_status pm_runlog_flush(pm_runlog *l, pm_err *e) {
    l->flushed = pm_now_s();
    if ((!l->n_steps && !l->items.n) || l->held_task) return PM_OK;
    pm_status rc = pm_db_begin(l->db, e);
    if (!rc) rc = write_waiting(l, e);
    if (!rc) rc = pm_db_commit(l->db, e);
    if (rc)
        pm_db_rollback(l->db);
    else
        drop_waiting(l);
    return rc;
}

pm_status pm_runlog_step(pm_runlog *l, const pm_step *st, pm_err *e) {
    if (l->n_steps == l->cap_steps)
        l->step = pm_xrealloc(l->step, (size_t)(l->cap_steps = 2 * l->cap_steps + 64) * sizeof *l->step);
    l->step[l->n_steps++] = *st;
    return pm_now_s() - l->flushed > 1 ? pm_runlog_flush(l, e) : PM_OK;
}

void pm_runlog_item(pm_runlog *l, const char *split, const pm_item *it) {
    l->split = split;
    pm_outcomes_add(&l->items,
                    &(pm_outcome){it->ex->id, it->correct, it->score, it->answer, it->gold, it->ex->cluster});
}

pm_status pm_runlog_metric(pm_runlog *l, const char *split, const pm_metric *m, pm_err *e) {
    if (l->n_metrics < (int)(sizeof l->metric / sizeof *l->metric)) {
        struct pm_logged_metric *k = &l->metric[l->n_metrics++];
        strncpy(k->split, split, sizeof k->split - 1);
        k->m = *m;
    }
    if (l->held_task) return PM_OK;
    return pm_db_metric(l->db, l->run_id, split, m->name, m->version, m->value, m->stderr_, m->n, e);
}

pm_status pm_runlog_check(pm_runlog *l, const pm_check *c, pm_err *e) {
    l->check[l->n_checks++] = *c;
    return pm_db_check(l->db, l->run_id, c->name, c->ok, c->value, c->bound, e);
}

static int64_t peak(const pm_session *s, pm_mem c) {
    return pm_arena_peak(s->base, c) + pm_arena_peak(s->life, c) + pm_arena_peak(s->step, c);
}

/* Resident pages of the arenas; -1: not known. */
static int64_t arenas_resident(const pm_session *s) {
    const pm_arena *const all[] = {s->base, s->life, s->step};
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && sum >= 0; i++) {
        size_t n_bytes;
        const void *p = pm_arena_span(all[i], &n_bytes);
        int64_t bytes = pm_resident_in(p, n_bytes);
        sum = bytes < 0 ? -1 : sum + bytes;
    }
    return sum;
}

static void raise_to(int64_t *most, int64_t x) {
    if (x > *most) *most = x;
}

void pm_runlog_rows(pm_runlog *l, const pm_split *s) {
    int64_t own, common;
    pm_split_bytes(s, &own, &common);
    l->rows.own += own;
    l->rows.common += common;
}

void pm_runlog_stretch(pm_runlog *l, const pm_session *s) {
    const pm_resident r = pm_resident_get();
    raise_to(&l->training.peak_rss, pm_peak_rss_bytes());
    raise_to(&l->training.scratch, pm_gemm_scratch_bytes());
    raise_to(&l->training.arenas, arenas_resident(s));
    raise_to(&l->training.heap, r.heap);
    raise_to(&l->training.program, r.program);
}

void pm_runlog_resume(void) {
    pm_resident_give_back();
    pm_peak_rss_clear();
}

/* What is asked for is counted; what else is resident was measured, where the system says it. */
static pm_status log_memory(pm_runlog *l, const pm_session *s, pm_err *e) {
    pm_status rc = PM_OK;
    const struct pm_logged_memory *t = &l->training;
    int64_t slack = t->arenas + pm_arena_elsewhere(s->base);
    for (int c = 0; c < PM_MEM_N && !rc; c++) {
        int64_t bytes = peak(s, (pm_mem)c);
        slack -= bytes;
        if (c == PM_MEM_WORKSPACE) bytes += t->scratch;
        if (c == PM_MEM_WEIGHTS) bytes += (int64_t)s->loaded.mapped_bytes + s->run.mapped_bytes;
        rc = pm_db_memory(l->db, l->run_id, pm_mem_name((pm_mem)c), bytes, e);
    }
    const struct {
        const char *name;
        int64_t bytes;
    } rest[] = {{"slack", slack > 0 ? slack : 0},
                {"data", l->rows.own + l->rows.common},
                {"heap", t->heap > l->rows.own ? t->heap - l->rows.own : 0},
                {"program", t->program}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest && t->program && !rc; i++)
        rc = pm_db_memory(l->db, l->run_id, rest[i].name, rest[i].bytes, e);
    return rc;
}

static pm_status log_counters(pm_runlog *l, const pm_session *s, const pm_speed *speed, pm_err *e) {
    pm_status rc = PM_OK;
    for (int f = 0; f < PM_FLOPS_N && !rc; f++) {
        l->flops += pm_flops_get((pm_flops)f);
        rc = pm_db_counter(l->db, l->run_id, pm_flops_name((pm_flops)f), pm_flops_get((pm_flops)f), e);
    }
    const struct {
        const char *name;
        int64_t value;
    } rest[] = {{"gemm_calls", pm_gemm_calls()},
                {"allocations", pm_arena_fresh(s->step)},
                {"allocated_bytes", pm_arena_asked(s->step)},
                {"warmup_steps_dropped", speed->dropped},
                {"steps_timed", speed->steps},
                {"tokens_timed", speed->tokens}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest && !rc; i++)
        rc = pm_db_counter(l->db, l->run_id, rest[i].name, rest[i].value, e);
    return rc;
}

/* Looked up, not measured: a run takes as long as it takes. */
static pm_status log_roofline(pm_runlog *l, const pm_session *s, pm_err *e) {
    double gflops = pm_roofline_known(s->cache, &s->model->cfg, s->model->precision, l->threads);
    return isnan(gflops) ? PM_OK : pm_db_roofline(l->db, l->run_id, gflops, e);
}

/* What the machine's certificate says of any method's step; none: no row. */
static pm_status log_noise(pm_runlog *l, pm_err *e) {
    pm_noise_certificate *c = pm_xalloc(sizeof *c);
    const int last = PM_SPEED_LOOKS - 1;
    pm_noise_load(c);
    pm_noise_worst w = pm_noise_of(c, true, last);
    pm_status rc = isnan(w.floor) ? PM_OK
                                  : pm_db_noise(l->db, l->run_id, c->measured_at, pm_speed_looks[last].pairs,
                                                w.floor, w.found, e);
    free(c);
    return rc;
}

pm_status pm_runlog_resources(pm_runlog *l, const pm_session *s, const pm_speed *speed, pm_err *e) {
    pm_runlog_stretch(l, s);
    pm_status rc = pm_runlog_flush(l, e);
    if (!rc) rc = pm_db_begin(l->db, e);
    if (!rc) rc = log_memory(l, s, e);
    if (!rc) rc = log_counters(l, s, speed, e);
    if (!rc) rc = log_roofline(l, s, e);
    if (!rc) rc = log_noise(l, e);
    if (!rc) rc = pm_db_commit(l->db, e);
    if (rc) pm_db_rollback(l->db);
    return rc;
}

void pm_runlog_hold(pm_runlog *l, const char *task, const char *method) {
    l->held_task = task;
    l->held_method = method;
}

static pm_status write_held(pm_runlog *l, pm_err *e) {
    int64_t times;
    pm_status rc = write_waiting(l, e);
    for (int i = 0; i < l->n_metrics && !rc; i++) {
        const struct pm_logged_metric *k = &l->metric[i];
        rc = pm_db_metric(l->db, l->run_id, k->split, k->m.name, k->m.version, k->m.value, k->m.stderr_,
                          k->m.n, e);
    }
    if (!rc) rc = pm_db_test_read(l->db, l->held_task, l->held_method, true, &times, e);
    return rc ? rc : pm_db_run_end(l->db, l->run_id, "ok", NULL, e);
}

static pm_status end_held(pm_runlog *l, pm_err *e) {
    pm_status rc = pm_db_begin(l->db, e);
    if (!rc) rc = write_held(l, e);
    if (!rc) rc = pm_db_commit(l->db, e);
    if (rc) pm_db_rollback(l->db);
    return rc;
}

pm_status pm_runlog_end(pm_runlog *l, const char *status, const char *error, pm_err *e) {
    if (l->held_task && strcmp(status, "ok") == 0) return end_held(l, e);
    if (l->held_task) return pm_db_run_end(l->db, l->run_id, status, error, e);
    pm_status stored = pm_runlog_flush(l, e), rc = pm_db_run_end(l->db, l->run_id, status, error, e);
    return stored ? stored : rc;
}

/* ---- phases ---- */

pm_phase_mark pm_phase_start(pm_session *s) {
    pm_peak_rss_clear();
    if (s && s->step) pm_arena_peak_clear(s->step);
    return (pm_phase_mark){pm_now_s(), pm_cpu_s(), 0};
}

pm_phase_mark pm_phase_part(const pm_phase_mark *since) {
    return (pm_phase_mark){pm_now_s() - since->wall, pm_cpu_s() - since->cpu, pm_peak_rss_bytes()};
}

pm_status pm_runlog_phase(pm_runlog *l, const char *name, const pm_phase_mark *m, const pm_session *s,
                          pm_err *e) {
    int64_t rss = pm_peak_rss_bytes(), live = 0;
    raise_to(&rss, m->peak_rss);
    if (rss > l->peak_rss) l->peak_rss = rss;
    if (s->base)
        live = pm_arena_peak_total(s->base) + pm_arena_peak_total(s->life) + pm_arena_peak_total(s->step);
    return pm_db_phase(l->db, l->run_id, name, pm_now_s() - m->wall, pm_cpu_s() - m->cpu, rss, live, e);
}

/* ---- summary ---- */

static void add_number(cJSON *j, const char *key, double v) {
    if (isfinite(v))
        cJSON_AddNumberToObject(j, key, v);
    else
        cJSON_AddNullToObject(j, key);
}

/* "6 checks passed", or the first that did not. */
static void certificate_line(const pm_runlog *l, char *out, size_t cap) {
    snprintf(out, cap, "%d check%s passed", l->n_checks, l->n_checks == 1 ? "" : "s");
    for (int i = l->n_checks - 1; i >= 0; i--)
        if (!l->check[i].ok) snprintf(out, cap, "%s failed", l->check[i].name);
}

static void add_checks(const pm_runlog *l, cJSON *j) {
    char line[64];
    if (!l->n_checks) return;
    certificate_line(l, line, sizeof line);
    cJSON_AddStringToObject(j, "certificate", line);
    cJSON *list = cJSON_AddArrayToObject(j, "checks");
    for (int i = 0; i < l->n_checks; i++) {
        const pm_check *c = &l->check[i];
        cJSON *k = cJSON_CreateObject();
        cJSON_AddStringToObject(k, "name", c->name);
        cJSON_AddBoolToObject(k, "ok", c->ok);
        add_number(k, "value", c->value);
        add_number(k, "bound", c->bound);
        cJSON_AddItemToArray(list, k);
    }
}

static void print_json(const pm_runlog *l, const char *status, int64_t trainable, const pm_speed *speed) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "run_id", (double)l->run_id);
    cJSON_AddStringToObject(j, "status", status);
    add_number(j, "trainable_params", trainable < 0 ? (double)NAN : (double)trainable);
    cJSON *list = cJSON_AddArrayToObject(j, "metrics");
    for (int i = 0; i < l->n_metrics; i++) {
        const struct pm_logged_metric *k = &l->metric[i];
        cJSON *m = cJSON_CreateObject();
        cJSON_AddStringToObject(m, "split", k->split);
        cJSON_AddStringToObject(m, "name", k->m.name);
        add_number(m, "value", k->m.value);
        add_number(m, "stderr", k->m.stderr_);
        cJSON_AddNumberToObject(m, "n", (double)k->m.n);
        cJSON_AddItemToArray(list, m);
    }
    add_checks(l, j);
    add_number(j, "tokens_per_s", pm_speed_tokens_per_s(speed));
    add_number(j, "peak_rss_bytes", l->peak_rss < 0 ? (double)NAN : (double)l->peak_rss);
    cJSON_AddNumberToObject(j, "flops", (double)l->flops);
    cJSON_AddStringToObject(j, "backend", pm_gemm_backend());
    cJSON_AddStringToObject(j, "db", l->db_path);
    pm_json_print(j);
}

static void print_text(const pm_runlog *l, const char *status, int64_t trainable, const pm_speed *speed) {
    printf("run %lld: %s", (long long)l->run_id, status);
    if (trainable >= 0) printf(", %lld trainable parameters", (long long)trainable);
    if (speed->steps) printf(", %.1f real tokens/s", pm_speed_tokens_per_s(speed));
    if (l->peak_rss >= 0) printf(", peak %.2f GB resident", (double)l->peak_rss * 1e-9);
    putchar('\n');
    for (int i = 0; i < l->n_metrics; i++) {
        const struct pm_logged_metric *k = &l->metric[i];
        printf("  %-10s %-12s %.4f +- %.4f (n = %lld)\n", k->split, k->m.name, k->m.value, k->m.stderr_,
               (long long)k->m.n);
    }
    char line[64];
    certificate_line(l, line, sizeof line);
    if (l->n_checks) printf("  certificate: %s\n", line);
    printf("  logged in %s\n", l->db_path);
}

void pm_runlog_print(const pm_runlog *l, const char *status, int64_t trainable, const pm_speed *speed) {
    if (pm_global.json)
        print_json(l, status, trainable, speed);
    else if (!pm_global.quiet)
        print_text(l, status, trainable, speed);
}
