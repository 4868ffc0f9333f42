/* logits.h - what a session computes, for another program to compare with. */
#ifndef PM_LOGITS_H
#define PM_LOGITS_H
#include "golden.h"
#include "session.h"
#include "weights.h"

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
#endif
