/* logits.h - what a session computes, for another program or another session to compare with. */
#ifndef PM_LOGITS_H
#define PM_LOGITS_H
#include "golden.h"
#include "session.h"
#include "weights.h"
#include <math.h>
#include <string.h>

/* Logits of every token of `sequences` (lists of ids, nothing of them a prompt), as float32 [tokens, vocab], into a file. */
static inline void write_logits(pm_session *s, const cJSON *sequences, const char *path) {
    const cJSON *sequence;
    pm_batch_clear(&s->batch);
    cJSON_ArrayForEach(sequence, sequences) {
        int n;
        int32_t *ids = golden_ids(sequence, &n);
        int seq = pm_batch_add(&s->batch, ids, n, -1, 0, 0);
        for (int i = 0; i < n; i++) pm_batch_score(&s->batch, s->batch.start[seq] + i, 0);
        free(ids);
    }
    pm_tensor *h = pm_session_forward(s, &s->batch, false, false);
    pm_tensor *logits = pm_linear_param(&s->tape, h, s->model->head, NULL);
    int64_t n = logits->rows * logits->cols;
    float *f32 = malloc(sizeof *f32 * (size_t)n);
    FILE *f = fopen(path, "wb");
    PM_ASSERT(f32 && f, "%s", path);
    pm_real_to_f32(logits->data, n, f32);
    PM_ASSERT(fwrite(f32, sizeof *f32, (size_t)n, f) == (size_t)n && !fclose(f), "%s", path);
    free(f32);
}

enum { PROBE = 9 }; /* tokens, four of them the prompt */

/* Final hidden states of nine tokens; the caller frees. */
static inline real *probe_outputs(pm_session *s) {
    static const int32_t IDS[PROBE] = {83, 59, 28, 74, 62, 61, 8, 34, 23};
    int32_t ids[PROBE];
    for (int i = 0; i < PROBE; i++) ids[i] = IDS[i] % (int32_t)s->model->cfg.V;
    pm_batch_clear(&s->batch);
    int seq = pm_batch_add(&s->batch, ids, PROBE, -1, 0, 4);
    for (int i = 0; i < PROBE; i++) pm_batch_score(&s->batch, s->batch.start[seq] + i, 0);
    const pm_tensor *h = pm_session_forward(s, &s->batch, false, false);
    size_t bytes = (size_t)(h->rows * h->cols) * sizeof(real);
    real *copy = malloc(bytes);
    memcpy(copy, h->data, bytes);
    return copy;
}

static inline double probes_apart(const pm_session *s, const real *x, const real *y) {
    double most = 0;
    for (int64_t i = 0; i < PROBE * s->model->cfg.C; i++) most = fmax(most, fabs((double)(x[i] - y[i])));
    return most;
}
#endif
