/* cmd_doctor.c - what this machine and this build give: one JSON document, printed as it is or as text.
 *
 * Why: speed depends on which kernels a library picked, and wrong picks are silent. Everything here is either a fact or a measurement
 * that was just made; `advice` says what is lost and which command gets it back.
 */
#include "cmd.h"
#include "gflops.h"
#include "host.h"
#include "keep.h"
#include "model.h"
#include "noise.h"
#include "roofline.h"
#include "speed_works.h"
#include "text.h"

#include <cjson/cJSON.h>
#include <omp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CASE_BUDGET_S 0.08
#define DISK_WANTED_BYTES 2e9
enum { BACKENDS_MAX = 8, PATH_CAP = 4096 };

__attribute__((format(printf, 2, 3))) static void advise(cJSON *doc, const char *fmt, ...) {
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(doc, "advice"), cJSON_CreateString(text));
}

/* ---- facts --------------------------------------------------------------------------------------------------------------- */

static void add_machine(cJSON *doc) {
    pm_host h;
    pm_host_get(&h);
    cJSON_AddStringToObject(doc, "cpu", h.cpu);
    cJSON_AddNumberToObject(doc, "cores", h.cores);
    cJSON_AddStringToObject(doc, "isa", h.isa);
    cJSON_AddNumberToObject(doc, "memory_bytes", (double)h.memory_bytes);
    cJSON_AddStringToObject(doc, "os", h.os);
    cJSON_AddNumberToObject(doc, "threads", omp_get_max_threads());
    if (omp_get_max_threads() > h.cores)
        advise(doc, "%d threads on %d cores fight for them: set OMP_NUM_THREADS or --threads",
               omp_get_max_threads(), h.cores);
}

static void add_build(cJSON *doc) {
    cJSON_AddStringToObject(doc, "version", pm_version);
    cJSON_AddStringToObject(doc, "commit", pm_commit);
    cJSON_AddStringToObject(doc, "compiler", pm_compiler);
    cJSON_AddStringToObject(doc, "flags", pm_cflags);
}

static bool find_program(const char *name, char *out, size_t cap) {
    const char *path = getenv("PATH");
    for (const char *p = path ? path : ""; *p; p += strcspn(p, ":"), p += *p == ':') {
        int n = snprintf(out, cap, "%.*s/%s", (int)strcspn(p, ":"), p, name);
        if (n > 0 && (size_t)n < cap && access(out, X_OK) == 0) return true;
    }
    return false;
}

static void add_programs(cJSON *doc) {
    char path[PATH_CAP];
    bool found = find_program("gnuplot", path, sizeof path);
    if (found)
        cJSON_AddStringToObject(doc, "gnuplot", path);
    else
        cJSON_AddNullToObject(doc, "gnuplot");
    if (!found) advise(doc, "gnuplot is not on PATH: `plot` needs it (`make deps`)");
}

/* Bytes free where a file below `dir` would be written: the nearest folder that exists. Negative: unknown. */
static double free_bytes(const char *dir) {
    char path[PATH_CAP];
    struct statvfs v;
    snprintf(path, sizeof path, "%s", dir);
    while (statvfs(path, &v) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) return -1;
        *slash = 0;
    }
    return (double)v.f_bavail * (double)v.f_frsize;
}

static void add_place(cJSON *doc, const char *key, const char *dir) {
    double bytes = free_bytes(dir);
    cJSON *o = cJSON_AddObjectToObject(doc, key);
    cJSON_AddStringToObject(o, "path", dir);
    if (bytes < 0)
        cJSON_AddNullToObject(o, "free_bytes");
    else
        cJSON_AddNumberToObject(o, "free_bytes", bytes);
    if (bytes >= 0 && bytes < DISK_WANTED_BYTES)
        advise(doc, "only %.0f MB are free at %.120s", bytes / 1e6, dir);
}

static void add_disk(cJSON *doc) {
    char dir[PATH_CAP];
    pm_err e;
    if (pm_cache_dir(dir, sizeof dir, &e) == PM_OK)
        add_place(doc, "cache", dir);
    else
        advise(doc, "%.160s: %.80s", e.msg, e.hint);
    add_place(doc, "here", ".");
}

/* ---- backends ------------------------------------------------------------------------------------------------------------ */

static void add_case(cJSON *list, const pm_gflops_case *c, pm_precision precision, int threads) {
    static const char *const name[] = {[PM_FP32] = sizeof(real) == 8 ? "fp64" : "fp32", [PM_BF16] = "bf16"};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "case", c->name);
    cJSON_AddStringToObject(o, "precision", name[precision]);
    cJSON_AddNumberToObject(o, "threads", threads);
    cJSON_AddNumberToObject(o, "gflops", pm_gflops_measure(c, precision, CASE_BUDGET_S));
    cJSON_AddItemToArray(list, o);
}

/* bf16 only where frozen weights are: adapters are fp32 in every precision. */
static void add_speed(cJSON *backend, const char *name, int threads) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(backend, "speed");
    if (pm_gemm_init(name, threads, NULL) != PM_OK) return;
    for (int i = 0; i < pm_n_gflops_cases; i++) {
        add_case(list, &pm_gflops_cases[i], PM_FP32, threads);
        if (pm_gflops_cases[i].packed && sizeof(real) == 4)
            add_case(list, &pm_gflops_cases[i], PM_BF16, threads);
    }
}

static void advise_backend(cJSON *doc, const pm_backend_info *b) {
    if (!b->available && strcmp(b->name, "onednn") == 0)
        advise(
            doc,
            "without oneDNN frozen weights are not packed and bf16 is emulated; OpenBLAS serves everything "
            "(`make deps`, then rebuild)");
    else if (!b->available)
        advise(doc, "backend %s: %.100s", b->name, b->version);
    else if (!b->passed)
        advise(doc, "backend %s computes wrong products on this CPU (error %.2g): it is not used", b->name,
               b->max_rel_err);
    if (strstr(b->version, "no OpenMP"))
        advise(doc, "this OpenBLAS has its own threads, which fight with OpenMP's: install "
                    "libopenblas-openmp (`make deps`)");
}

static bool add_backend(cJSON *doc, const pm_backend_info *b, int threads) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", b->name);
    cJSON_AddStringToObject(o, "version", b->version);
    cJSON_AddBoolToObject(o, "available", b->available);
    cJSON_AddBoolToObject(o, "passed", b->passed);
    if (b->available) cJSON_AddNumberToObject(o, "max_rel_err", b->max_rel_err);
    cJSON_AddStringToObject(o, "bf16", b->bf16_native ? "native" : "emulated");
    cJSON_AddArrayToObject(o, "speed");
    if (b->passed) add_speed(o, b->name, 1);
    if (b->passed && threads > 1) add_speed(o, b->name, threads);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(doc, "backends"), o);
    advise_backend(doc, b);
    return b->passed;
}

static void add_coretype(cJSON *doc) {
    const char *set = getenv("OPENBLAS_CORETYPE");
    if (!set) return;
    cJSON_AddStringToObject(doc, "openblas_coretype", set);
    cJSON_AddStringToObject(doc, "openblas_coretype_set_by",
                            getenv(PM_CORETYPE_GUARD) ? "peftmeter" : "the environment");
}

/* PM_ECHECK when no backend computes right. */
static pm_status add_backends(cJSON *doc, pm_err *e) {
    pm_backend_info info[BACKENDS_MAX];
    int threads = omp_get_max_threads(), n = pm_gemm_list(info, BACKENDS_MAX), passed = 0;
    bool native = false;
    cJSON_AddArrayToObject(doc, "backends");
    for (int i = 0; i < n; i++) {
        passed += add_backend(doc, &info[i], threads);
        native |= info[i].passed && info[i].bf16_native;
    }
    add_coretype(doc);
    if (pm_gemm_init("auto", threads, e) != PM_OK) return e->code;
    cJSON_AddStringToObject(doc, "auto", pm_gemm_backend());
    if (!native)
        advise(doc, "bf16 is emulated on this CPU: same values as bf16 hardware to rounding, and no faster "
                    "than fp32");
    return PM_OK;
}

/* ---- a model's products -------------------------------------------------------------------------------------------------- */

static void add_roofline(cJSON *list, pm_cache *cache, const pm_model_cfg *m, pm_precision precision,
                         int threads) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "precision", precision == PM_BF16 ? "bf16" : "fp32");
    cJSON_AddNumberToObject(o, "threads", threads);
    cJSON_AddNumberToObject(o, "gflops", pm_roofline_measure(cache, m, precision, threads, true));
    cJSON_AddItemToArray(list, o);
}

/* With the backend that `auto` takes, on one thread and on all. */
static pm_status add_rooflines(cJSON *doc, const char *model, pm_err *e) {
    char path[PATH_CAP];
    pm_model_cfg m;
    pm_status s = pm_model_resolve(model, path, sizeof path, e);
    if (s == PM_OK) s = pm_model_cfg_read(path, &m, e);
    cJSON *list = cJSON_AddArrayToObject(doc, "roofline");
    pm_cache *cache = pm_keep_open();
    const int threads[] = {1, omp_get_max_threads()};
    for (int i = 0; i < (threads[1] > 1 ? 2 : 1) && s == PM_OK; i++) {
        s = pm_gemm_init("auto", threads[i], e);
        for (int p = PM_FP32; p <= PM_BF16 && s == PM_OK; p++)
            add_roofline(list, cache, &m, (pm_precision)p, threads[i]);
    }
    pm_keep_close(cache);
    return s;
}

/* ---- noise ---------------------------------------------------------------------------------------------------------------- */

static void add_noise_unit(cJSON *list, const pm_noise_unit *u) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", u->name);
    cJSON_AddStringToObject(o, "kind", u->step ? "step" : "kernel");
    cJSON_AddNumberToObject(o, "sd", u->sd);
    cJSON_AddNumberToObject(o, "lag1", u->lag1);
    cJSON_AddItemToObject(o, "floor", cJSON_CreateDoubleArray(u->can.floor, PM_SPEED_LOOKS));
    cJSON_AddItemToObject(o, "found", cJSON_CreateDoubleArray(u->can.found, PM_SPEED_LOOKS));
    cJSON_AddItemToArray(list, o);
}

static void add_noise(cJSON *doc, const pm_noise_certificate *c) {
    if (!c->n) {
        cJSON_AddNullToObject(doc, "noise");
        advise(doc,
               "no noise certificate: how small a slowdown can be seen here is not known (`peftmeter doctor "
               "--noise`, two minutes)");
        return;
    }
    cJSON *o = cJSON_AddObjectToObject(doc, "noise");
    cJSON_AddStringToObject(o, "measured_at", c->measured_at);
    cJSON_AddStringToObject(o, "machine", c->machine);
    cJSON_AddNumberToObject(o, "pairs", c->pairs);
    cJSON *list = cJSON_AddArrayToObject(o, "units");
    for (int i = 0; i < c->n; i++) add_noise_unit(list, &c->unit[i]);
}

static pm_status certify_noise(pm_noise_certificate *c, pm_err *e) {
    pm_works w;
    pm_status rc = pm_works_load(NULL, &w, e);
    if (rc) return rc;
    if (!pm_global.quiet)
        fprintf(stderr, "the noise of this machine: %d pairs of %d works, about two minutes\n",
                PM_NOISE_PAIRS, w.n);
    pm_catch_interrupts();
    rc = pm_noise_measure(w.work, w.n, c, e);
    pm_works_free(&w);
    return rc;
}

/* ---- as text ------------------------------------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : "not found";
}

static double number_of(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static void print_backend(const cJSON *b) {
    bool passed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "passed"));
    printf("\n%s: %s\n", text_of(b, "name"), text_of(b, "version"));
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "available"))) return;
    printf("  self-check %s (largest error %.2g), bf16 %s\n", passed ? "passed" : "FAILED",
           number_of(b, "max_rel_err"), text_of(b, "bf16"));
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(b, "speed");
    for (const cJSON *s = list ? list->child : NULL; s; s = s->next)
        printf("  %-22s %s  %2.0f thread%s  %8.1f GF/s\n", text_of(s, "case"), text_of(s, "precision"),
               number_of(s, "threads"), number_of(s, "threads") > 1 ? "s" : " ", number_of(s, "gflops"));
}

static void print_place(const cJSON *doc, const char *key) {
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(doc, key);
    if (o) printf("%-10s %s, %.1f GB free\n", key, text_of(o, "path"), number_of(o, "free_bytes") / 1e9);
}

static void print_noise(const pm_noise_certificate *c) {
    if (!c->n) return;
    printf("\nnoise      measured %s, %d pairs of processes\n", c->measured_at, c->pairs);
    printf("  %-24s %8s %8s %10s %10s %10s\n", "", "sd", "lag-1", "7 pairs", "15 pairs", "30 pairs");
    for (int i = 0; i < c->n; i++) {
        const pm_noise_unit *u = &c->unit[i];
        printf("  %-24s %7.2f%% %8.2f", u->name, 100 * u->sd, u->lag1);
        for (int look = 0; look < PM_SPEED_LOOKS; look++) printf(" %9.1f%%", 100 * u->can.found[look]);
        printf("\n");
    }
    for (int steps = 1; steps >= 0; steps--)
        printf("  a slowdown of %.1f%% of any %s is found in 9 of 10 tries; below %.1f%% it may be noise\n",
               100 * pm_noise_of(c, steps, PM_SPEED_LOOKS - 1).found, steps ? "method's step" : "kernel",
               100 * pm_noise_of(c, steps, PM_SPEED_LOOKS - 1).floor);
}

static void print_text(const cJSON *doc, const pm_noise_certificate *noise) {
    printf("%-10s peftmeter %s, commit %.12s\n", "version", text_of(doc, "version"), text_of(doc, "commit"));
    printf("%-10s %s, %s\n", "built with", text_of(doc, "compiler"), text_of(doc, "flags"));
    printf("%-10s %s, %.0f cores, %.1f GB\n", "cpu", text_of(doc, "cpu"), number_of(doc, "cores"),
           number_of(doc, "memory_bytes") / 1e9);
    printf("%-10s %s\n", "isa", text_of(doc, "isa"));
    printf("%-10s %s\n", "system", text_of(doc, "os"));
    printf("%-10s %.0f (OpenMP)\n", "threads", number_of(doc, "threads"));
    printf("%-10s %s\n", "gnuplot", text_of(doc, "gnuplot"));
    print_place(doc, "cache");
    print_place(doc, "here");
    for (const cJSON *b = cJSON_GetObjectItemCaseSensitive(doc, "backends")->child; b; b = b->next)
        print_backend(b);
    if (cJSON_HasObjectItem(doc, "openblas_coretype"))
        printf("  core type %s, set by %s\n", text_of(doc, "openblas_coretype"),
               text_of(doc, "openblas_coretype_set_by"));
    printf("\nbackend=auto is %s\n", text_of(doc, "auto"));
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(doc, "roofline");
    for (const cJSON *r = list ? list->child : NULL; r; r = r->next)
        printf("  the model's products   %s  %2.0f thread%s  %8.1f GF/s\n", text_of(r, "precision"),
               number_of(r, "threads"), number_of(r, "threads") > 1 ? "s" : " ", number_of(r, "gflops"));
    print_noise(noise);
    for (const cJSON *a = cJSON_GetObjectItemCaseSensitive(doc, "advice")->child; a; a = a->next)
        printf("note: %s\n", a->valuestring);
}

static pm_status doctor(int argc, char **argv, pm_err *e) {
    const char *model = NULL;
    bool measure = false;
    const pm_opt opts[] = {
        {.name = "--model", .value = &model}, {.name = "--noise", .flag = &measure}, {.name = NULL}};
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 0, e);
    pm_noise_certificate *noise = pm_xalloc(sizeof *noise);
    if (s == PM_OK && measure) s = certify_noise(noise, e);
    if (s == PM_OK && !measure) pm_noise_load(noise);
    if (s != PM_OK) {
        free(noise);
        return s;
    }
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddArrayToObject(doc, "advice");
    add_build(doc);
    add_machine(doc);
    add_programs(doc);
    add_disk(doc);
    s = add_backends(doc, e);
    if (s == PM_OK && model) s = add_rooflines(doc, model, e);
    add_noise(doc, noise);
    if (s != PM_OK && model) {
        cJSON_Delete(doc);
    } else if (pm_global.json) {
        pm_json_print(doc);
    } else {
        print_text(doc, noise);
        cJSON_Delete(doc);
    }
    free(noise);
    return s;
}

const pm_command pm_cmd_doctor = {
    .name = "doctor",
    .summary = "what this machine gives: CPU, backends with measured speed and self-check, programs, disk",
    .help = "usage: peftmeter doctor [--model NAME] [--noise] [--json]\n"
            "\n"
            "Checks every matrix backend against a plain loop and times it, a few seconds in all: the frozen "
            "product of a\n"
            "small model (packed once, as in training) and the thin product of a rank-16 adapter, on one "
            "thread and on all.\n"
            "Notes say what is missing and how to get it. --model adds the products of that model's "
            "projections, and "
            "keeps the\n"
            "best rate: what `report --kind efficiency` gives as the roofline of later runs.\n"
            "\n"
            "  --noise   measures the noise certificate: two copies of this program take turns at every "
            "kernel and "
            "at training\n"
            "            steps of every method, 15 pairs of processes, about two minutes. It says from which "
            "size on "
            "a slowdown\n"
            "            is found here. The cache keeps the latest; runs store it beside their times.\n"
            "\n"
            "  peftmeter doctor\n"
            "  OMP_NUM_THREADS=1 peftmeter doctor --json\n"
            "\n"
            "Exit 1 when no backend computes right on this machine.\n",
    .run = doctor,
};
