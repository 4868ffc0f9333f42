/* safetensors_save.c - writes a safetensors file: whole or not at all.
 *
 * Why: an adapter is hours of work and a crash or a full disk must not leave half of one under its name. So
 * the bytes go to a temporary file beside it, are forced to disk, and take the name in one rename.
 */
#include "bytes.h"
#include "weights.h"
#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    return ok && !fflush(f) && !fsync(fileno(f));
}

/* The rename itself must reach the disk; a file system that cannot sync a directory has nothing to say about
 * it. */
static void sync_dir_of(const char *path) {
    char dir[4096];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

static pm_status cannot_write(const char *path, int error, pm_err *e) {
    pm_fail(e, PM_EIO, "write %.200s: %s", path, strerror(error));
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return pm_hint(e, full ? "free some space or choose another directory"
                           : "check the directory and its permissions");
}

pm_status pm_safetensors_save(const char *path, const pm_save_tensor *t, int n, const char *const *metadata,
                              pm_err *e) {
    char tmp[4096];
    if (snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid()) >= (int)sizeof tmp)
        return pm_fail(e, PM_EIO, "%.200s: the path is too long", path);
    FILE *f = fopen(tmp, "wbe");
    if (!f) return cannot_write(path, errno, e);
    char *header = header_text(t, n, metadata);
    bool ok = write_all(f, header, t, n);
    int error = errno;
    cJSON_free(header);
    if (fclose(f) && ok) ok = false, error = errno;
    if (ok && rename(tmp, path)) ok = false, error = errno;
    if (!ok) {
        unlink(tmp);
        return cannot_write(path, error, e);
    }
    sync_dir_of(path);
    return PM_OK;
}
