/* safetensors_save.c - writes a safetensors file, whole or not at all (atomic.c). Layout: see safetensors.c. */
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
static char *header_text(const pm_save_tensor *t, int n, const char *const *metadata) {
    cJSON *h = cJSON_CreateObject();
    if (metadata && metadata[0]) cJSON_AddItemToObject(h, "__metadata__", metadata_json(metadata));
    double at = 0;
    for (int i = 0; i < n; i++) {
        PM_ASSERT(pm_name_ok(t[i].name, strlen(t[i].name)) && t[i].rows >= 0 && t[i].cols >= 0, "tensor %d",
                  i);
        double shape[2] = {(double)t[i].rows, (double)t[i].cols},
               off[2] = {at, at + 4.0 * (double)count(&t[i])};
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "dtype", "F32");
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

static bool write_data(FILE *f, const pm_save_tensor *t) {
    float buf[4096];
    for (int64_t at = 0, n = count(t); at < n; at += 4096) {
        int64_t k = n - at < 4096 ? n - at : 4096;
        pm_real_to_f32(t->data + at, k, buf);
        if (fwrite(buf, 4, (size_t)k, f) != (size_t)k) return false;
    }
    return true;
}

static bool write_all(FILE *f, const char *header, const pm_save_tensor *t, int n) {
    bool ok = write_header(f, header);
    for (int i = 0; ok && i < n; i++) ok = write_data(f, &t[i]);
    return ok;
}

pm_status pm_safetensors_save(const char *path, const pm_save_tensor *t, int n, const char *const *metadata,
                              pm_err *e) {
    pm_atomic a;
    pm_status s = pm_atomic_open(&a, path, e);
    if (s) return s;
    char *header = header_text(t, n, metadata);
    s = pm_atomic_close(&a, write_all(a.f, header, t, n), e);
    cJSON_free(header);
    return s;
}
