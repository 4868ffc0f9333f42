/* roofline.c - shapes, their weights, and where the answer is kept (roofline.h). */
#include "roofline.h"
#include "gflops.h"
#include "host.h"
#include "sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHAPES = 7, KEPT_VERSION = 1, KEY_CAP = 96 };
#define SHAPE_BUDGET_S 0.03

typedef struct shape { /* a projection [out,in] of every layer */
    int64_t out, in;
} shape;

static void shapes_of(const pm_model_cfg *m, shape s[SHAPES]) {
    int64_t q = (int64_t)m->H * m->D, kv = (int64_t)m->n_kv * m->D, gate = m->ungated ? 0 : m->F;
    const shape all[SHAPES] = {{q, m->C},    {kv, m->C},   {kv, m->C},  {m->C, q},
                               {gate, m->C}, {m->F, m->C}, {m->C, m->F}};
    memcpy(s, all, sizeof all);
}

/* All that decides the answer. */
static void key_of(const pm_model_cfg *m, pm_precision precision, int threads, char key[KEY_CAP]) {
    pm_host h;
    char text[1024], hex[65];
    pm_host_get(&h);
    snprintf(text, sizeof text,
             "%s; %d cores; %s; %s; %s; %s %d threads; %d %zu; C %lld F %lld H %d kv %d D %d %d", h.cpu,
             h.cores, h.isa, pm_compiler, pm_gemm_backend(), pm_gemm_version(), threads, (int)precision,
             sizeof(real), (long long)m->C, (long long)m->F, m->H, m->n_kv, m->D, m->ungated);
    pm_sha256_of(text, strlen(text), hex);
    snprintf(key, KEY_CAP, "roofline-%.32s-%d", hex, KEPT_VERSION);
}

static double look(pm_cache *cache, const char *key) {
    double x = NAN;
    const void *kept = cache ? cache->find(cache, key, sizeof x) : NULL;
    if (kept) memcpy(&x, kept, sizeof x);
    return x > 0 ? x : (double)NAN;
}

double pm_roofline_known(pm_cache *cache, const pm_model_cfg *m, pm_precision precision, int threads) {
    char key[KEY_CAP];
    key_of(m, precision, threads, key);
    return look(cache, key);
}

/* As many rows as fill the caches and as many as do not, fewer of a large matrix: which is faster depends on the machine. */
static double best_rate(const shape *s, pm_precision precision) {
    static const int64_t rows[] = {256, 1024};
    double best = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t most = ((int64_t)1 << 31) / (s->out * s->in), n = rows[i] < most ? rows[i] : most;
        const pm_gflops_case c = {"", n < 64 ? 64 : n, s->out, s->in, true};
        best = fmax(best, pm_gflops_measure(&c, precision, SHAPE_BUDGET_S));
    }
    return best;
}

/* Operations over time, when each shape goes at its best. */
static double measure(const pm_model_cfg *m, pm_precision precision) {
    shape s[SHAPES];
    double rate[SHAPES], operations = 0, time = 0;
    shapes_of(m, s);
    for (int i = 0; i < SHAPES; i++) {
        double weight = (double)(s[i].out * s[i].in);
        int same = 0;
        if (!(weight > 0)) continue;
        while (s[same].out != s[i].out || s[same].in != s[i].in) same++;
        rate[i] = same < i ? rate[same] : best_rate(&s[i], precision);
        operations += weight;
        time += weight / rate[i];
    }
    return operations / time;
}

double pm_roofline_measure(pm_cache *cache, const pm_model_cfg *m, pm_precision precision, int threads,
                           bool again) {
    char key[KEY_CAP];
    key_of(m, precision, threads, key);
    double known = look(cache, key), x = known;
    if (isnan(known) || again) x = fmax(x, measure(m, precision)); /* fmax passes NAN over */
    if (cache && x != known) cache->put(cache, key, &x, sizeof x);
    return x;
}
