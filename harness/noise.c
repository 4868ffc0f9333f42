/* noise.c - measuring, keeping and finding the noise certificate (noise.h). */
#include "noise.h"
#include "bytes.h"
#include "cmd.h"
#include "fetch.h"
#include "host.h"
#include "jsonio.h"
#include "text.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_CAP = 4096 };

/* ---- two copies of this program ------------------------------------------------------------------------------------------ */

static pm_status copy_file(const char *from, const char *to, pm_err *e) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char block[1 << 16];
    bool ok = in && out;
    for (size_t n; ok && (n = fread(block, 1, sizeof block, in)) > 0;) ok = fwrite(block, 1, n, out) == n;
    ok = ok && !ferror(in);
    if (in) fclose(in);
    if (out) ok = fclose(out) == 0 && ok;
    if (ok && chmod(to, 0700) == 0) return PM_OK;
    pm_fail(e, PM_EIO, "copy the program to %s: %s", to, strerror(errno));
    return pm_hint(e, "set PEFTMETER_CACHE to a folder that can be written");
}

/* Copies, for where a file's pages happen to lie in memory is part of the noise between two builds. */
static pm_status make_copies(const char *dir, pm_build copy[2], pm_err *e) {
    static const char *const name[] = {"base", "head"};
    pm_status rc = PM_OK;
    for (int i = 0; i < 2 && !rc; i++) {
        rc = pm_root_dir(copy[i].root, sizeof copy[i].root, e);
        if (!rc) rc = pm_path_join(copy[i].program, sizeof copy[i].program, dir, name[i], e);
        if (!rc) rc = copy_file("/proc/self/exe", copy[i].program, e);
    }
    return rc;
}

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

/* 1.48 median |x|: the standard deviation of a normal distribution around 0. */
static double spread(const double *x, int n) {
    double size[PM_SPEED_PAIRS];
    for (int i = 0; i < n; i++) size[i] = fabs(x[i]);
    pm_sort(size, n);
    return 1.4826 * pm_quantile(size, n, 0.5);
}

static double lag1(const double *x, int n) {
    double mean = pm_mean(x, n).mean, along = 0, all = 0;
    for (int i = 0; i < n; i++) {
        all += (x[i] - mean) * (x[i] - mean);
        if (i) along += (x[i] - mean) * (x[i - 1] - mean);
    }
    return all > 0 ? along / all : 0;
}

static void certify(const pm_duel *d, pm_noise_certificate *out) {
    for (int i = 0; i < d->n && out->n < PM_NOISE_UNITS; i++) {
        const pm_speed_unit *u = &d->unit[i];
        const double *x = u->x[PM_SPEED_FIRST];
        pm_noise_unit *c = &out->unit[out->n++];
        int n = u->n[PM_SPEED_FIRST];
        snprintf(c->name, sizeof c->name, "%s", u->name);
        c->step = u->work < 0 || pm_work_is_steps(&d->work[u->work]);
        c->sd = spread(x, n);
        c->lag1 = lag1(x, n);
        c->can = pm_noise_certify(x, n, 0, d->keep);
    }
}

static void name_machine(char *out, size_t cap) {
    pm_host h;
    pm_host_get(&h);
    snprintf(out, cap, "%s, %d cores", h.cpu, h.cores);
}

static pm_status measure(const pm_build copy[2], const pm_work *work, int n_works, pm_noise_certificate *out,
                         pm_err *e) {
    pm_arena *keep = pm_arena_new("noise", 0);
    pm_duel d;
    pm_status rc = pm_duel_open(&copy[0], &copy[1], work, n_works, keep, &d, e);
    if (!rc) rc = pm_duel_measure(&d, PM_NOISE_PAIRS, e);
    if (!rc) {
        time_t now = time(NULL);
        struct tm utc;
        *out = (pm_noise_certificate){.pairs = PM_NOISE_PAIRS};
        strftime(out->measured_at, sizeof out->measured_at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
        name_machine(out->machine, sizeof out->machine);
        certify(&d, out);
    }
    pm_arena_free(keep);
    return rc;
}

/* ---- keeping ------------------------------------------------------------------------------------------------------------- */

static pm_status kept_path(char *out, size_t cap, pm_err *e) {
    char dir[PATH_CAP];
    pm_status rc = pm_cache_dir(dir, sizeof dir, e);
    if (!rc) rc = pm_mkdirs(dir, e);
    return rc ? rc : pm_path_join(out, cap, dir, "noise.json", e);
}

static pm_status keep(const pm_noise_certificate *c, pm_err *e) {
    char path[PATH_CAP];
    pm_status rc = kept_path(path, sizeof path, e);
    if (rc) return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "measured_at", c->measured_at);
    cJSON_AddStringToObject(j, "machine", c->machine);
    cJSON_AddNumberToObject(j, "pairs", c->pairs);
    cJSON *list = cJSON_AddArrayToObject(j, "units");
    for (int i = 0; i < c->n; i++) {
        const pm_noise_unit *u = &c->unit[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", u->name);
        cJSON_AddBoolToObject(o, "step", u->step);
        cJSON_AddNumberToObject(o, "sd", u->sd);
        cJSON_AddNumberToObject(o, "lag1", u->lag1);
        cJSON_AddItemToObject(o, "floor", cJSON_CreateDoubleArray(u->can.floor, PM_SPEED_LOOKS));
        cJSON_AddItemToObject(o, "found", cJSON_CreateDoubleArray(u->can.found, PM_SPEED_LOOKS));
        cJSON_AddItemToArray(list, o);
    }
    return pm_atomic_json(path, j, true, e);
}

static bool read_numbers(const cJSON *o, const char *key, double out[PM_SPEED_LOOKS]) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    for (int i = 0; i < PM_SPEED_LOOKS; i++) {
        const cJSON *v = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(v)) return false;
        out[i] = v->valuedouble;
    }
    return true;
}

static bool read_unit(const cJSON *o, pm_noise_unit *u) {
    snprintf(u->name, sizeof u->name, "%s", pm_json_str(o, "name", ""));
    u->step = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "step"));
    u->sd = pm_json_number(o, "sd");
    u->lag1 = pm_json_number(o, "lag1");
    return read_numbers(o, "floor", u->can.floor) && read_numbers(o, "found", u->can.found);
}

static bool read_kept(const cJSON *j, pm_noise_certificate *out) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "units");
    char here[sizeof out->machine];
    name_machine(here, sizeof here);
    snprintf(out->machine, sizeof out->machine, "%s", pm_json_str(j, "machine", ""));
    out->pairs = pm_json_int(j, "pairs", 0);
    bool ok = strcmp(here, out->machine) == 0;
    for (const cJSON *o = list ? list->child : NULL; ok && o && out->n < PM_NOISE_UNITS; o = o->next)
        ok = read_unit(o, &out->unit[out->n++]);
    snprintf(out->measured_at, sizeof out->measured_at, "%s", pm_json_str(j, "measured_at", ""));
    return ok && out->n;
}

void pm_noise_load(pm_noise_certificate *out) {
    char path[PATH_CAP];
    cJSON *j = NULL;
    *out = (pm_noise_certificate){.n = 0};
    if (kept_path(path, sizeof path, NULL) || pm_json_read(path, &j, NULL)) return;
    if (!read_kept(j, out)) *out = (pm_noise_certificate){.n = 0};
    cJSON_Delete(j);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

pm_status pm_noise_measure(const pm_work *work, int n_works, pm_noise_certificate *out, pm_err *e) {
    char cache[PATH_CAP], dir[PATH_CAP];
    pm_build *copy = pm_xalloc(2 * sizeof *copy);
    pm_status rc = pm_cache_dir(cache, sizeof cache, e);
    if (!rc) rc = pm_mkdirs(cache, e);
    if (!rc) rc = pm_path_join(dir, sizeof dir, cache, "noise-XXXXXX", e);
    if (!rc && !mkdtemp(dir)) rc = pm_fail(e, PM_EIO, "make %s: %s", dir, strerror(errno));
    bool made = !rc;
    if (!rc) rc = make_copies(dir, copy, e);
    if (!rc) rc = measure(copy, work, n_works, out, e);
    if (!rc) rc = keep(out, e);
    for (int i = 0; i < 2; i++) unlink(copy[i].program);
    if (made) rmdir(dir);
    free(copy);
    return rc;
}

const pm_noise_unit *pm_noise_find(const pm_noise_certificate *c, const char *name) {
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->unit[i].name, name) == 0) return &c->unit[i];
    return NULL;
}

pm_noise_worst pm_noise_of(const pm_noise_certificate *c, bool steps, int look) {
    pm_noise_worst w = {(double)NAN, (double)NAN};
    for (int i = 0; i < c->n; i++) {
        if (c->unit[i].step != steps) continue;
        w.floor = fmax(w.floor, c->unit[i].can.floor[look]);
        w.found = fmax(w.found, c->unit[i].can.found[look]);
    }
    return w;
}
