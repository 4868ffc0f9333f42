/* fuzz_formats.c - libFuzzer entry: any bytes as safetensors, GGUF, and config.json must parse or be one explained error.
 *
 *   clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -Icore -Imodels $(pkg-config --cflags libcjson) \
 *         tests/fuzz/fuzz_formats.c core/base.c models/{dtype,gguf,map,model_cfg,safetensors}.c -lcjson -lm -o build/fuzz_formats
 *   mkdir -p build/corpus && build/fuzz_formats -max_len=20000 -max_total_time=60 build/corpus tests/golden/formats
 */
#include "model.h"
#include "weights.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void use(const pm_tensor_info *t) {
    int64_t count = pm_tensor_info_count(t);
    if (!pm_dtype_is_float(t->dtype)) return;
    real *y = malloc((size_t)count * sizeof *y + 1);
    if (y) pm_dtype_to_real(t->dtype, t->data, count, y);
    free(y);
}

/* A failure has a message and a hint. */
static bool parsed(pm_status s, const pm_err *e) {
    if (s && (!e->msg[0] || !e->hint[0] || e->code != s)) abort();
    return s == PM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    pm_err e = {0};
    pm_safetensors *st;
    pm_gguf *g;
    pm_model_cfg cfg;
    if (parsed(pm_safetensors_from_bytes(p, n, "input", &st, &e), &e)) {
        for (int i = 0; i < pm_safetensors_count(st); i++) use(pm_safetensors_at(st, i));
        pm_safetensors_close(st);
    }
    if (parsed(pm_gguf_from_bytes(p, n, "input", &g, &e), &e)) {
        for (int i = 0; i < pm_gguf_count(g); i++) use(pm_gguf_at(g, i));
        parsed(pm_model_cfg_from_gguf(g, &cfg, &e), &e);
        pm_gguf_close(g);
    }
    parsed(pm_model_cfg_from_json((const char *)p, n, "input", &cfg, &e), &e);
    return 0;
}
