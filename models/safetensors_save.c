/* safetensors_save.c - writes a safetensors file, whole or not at all (atomic.c). Layout: see safetensors.c. */
#include "bf16.h"
#include "bytes.h"
#include "weights.h"
#include <cJSON.h>
#include <stdio.h>

static int64_t count(const pm_save_tensor *t) {
    return t->rows * (t->cols ? t->cols : 1);
}

static cJSON *metadata_json(const char *const *metadata) {
    cJSON *m = cJSON_CreateObject();
    for (int i = 0; metadata[i]; i += 2) cJSON_AddStringToObject(m, metadata[i], metadata[i + 1]);
    return m;
}

/* The header's text; the caller frees it with cJSON_free. */
static char *header_text(const pm_save_tensor *t, int n, pm_dtype type, const char *const *metadata) {
    cJSON *h = cJSON_CreateObject();
    if (metadata && metadata[0]) cJSON_AddItemToObject(h, "__metadata__", metadata_json(metadata));
    double at = 0;
    for (int i = 0; i < n; i++) {
        PM_ASSERT(pm_name_ok(t[i].name, strlen(t[i].name)) && t[i].rows >= 0 && t[i].cols >= 0, "tensor %d",
                  i);
        double shape[2] = {(double)t[i].rows, (double)t[i].cols},
               off[2] = {at, at + (double)pm_dtype_bytes(type, count(&t[i]))};
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "dtype", pm_dtype_name(type));
        cJSON_AddItemToObject(j, "shape", cJSON_CreateDoubleArray(shape, t[i].cols ? 2 : 1));
        cJSON_AddItemToObject(j, "data_offsets", cJSON_CreateDoubleArray(off, 2));
        cJSON_AddItemToObject(h, t[i].name, j);
        at = off[1];
    }
    char *text = cJSON_PrintUnformatted(h);
    cJSON_Delete(h);
    PM_ASSERT(text, "out of memory: a header of %d tensors", n);
    return text;
}

/* Length, text and spaces up to a multiple of 8, so that the data is aligned in a mapping. */
static bool write_header(FILE *f, const char *text) {
    size_t n = strlen(text), padded = (n + 7) / 8 * 8;
    uint64_t len = padded;
    return fwrite(&len, 8, 1, f) == 1 && fwrite(text, 1, n, f) == n &&
           fwrite("       ", 1, padded - n, f) == padded - n;
}

enum { PIECE = 4096 };

/* In place: the upper halves move to the front. */
static void round_to_bf16(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h = pm_bf16_from_float(x[i]);
        memcpy((char *)x + 2 * i, &h, sizeof h);
    }
}

static bool write_data(FILE *f, const pm_save_tensor *t, pm_dtype type) {
    float buf[PIECE];
    for (int64_t at = 0, n = count(t); at < n; at += PIECE) {
        size_t k = (size_t)(n - at < PIECE ? n - at : PIECE);
        pm_real_to_f32(t->data + at, (int64_t)k, buf);
        if (type == PM_BFLOAT16) round_to_bf16(buf, k);
        if (fwrite(buf, pm_dtype_bytes(type, 1), k, f) != k) return false;
    }
    return true;
}

static bool write_all(FILE *f, const char *header, const pm_save_tensor *t, int n, pm_dtype type) {
    bool ok = write_header(f, header);
    for (int i = 0; ok && i < n; i++) ok = write_data(f, &t[i], type);
    return ok;
}

pm_status pm_safetensors_save_as(const char *path, const pm_save_tensor *t, int n, pm_dtype type,
                                 const char *const *metadata, pm_err *e) {
    PM_ASSERT(type == PM_F32 || type == PM_BFLOAT16, "type %s", pm_dtype_name(type));
    pm_atomic a;
    pm_status s = pm_atomic_open(&a, path, e);
    if (s) return s;
    char *header = header_text(t, n, type, metadata);
    s = pm_atomic_close(&a, write_all(a.f, header, t, n, type), e);
    cJSON_free(header);
    return s;
}

pm_status pm_safetensors_save(const char *path, const pm_save_tensor *t, int n, const char *const *metadata,
                              pm_err *e) {
    return pm_safetensors_save_as(path, t, n, PM_F32, metadata, e);
}
