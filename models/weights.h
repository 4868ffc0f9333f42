/* weights.h - tensors in files: one view over safetensors and GGUF, and conversion to real.
 *
 * Files are mapped and hostile until checked: every offset, count and product is bounded by the file's size before use.
 */
#ifndef PM_WEIGHTS_H
#define PM_WEIGHTS_H
#include "base.h"

/* clang-format off */
typedef enum pm_dtype {
    PM_F32, PM_F16, PM_BFLOAT16, PM_F64, PM_I64, PM_I32, PM_I16, PM_I8, PM_U8, PM_BOOL, /* safetensors */
    PM_Q8_0, PM_Q4_0, PM_Q4_1, PM_Q5_0, PM_Q5_1, PM_Q4_K, PM_Q5_K, PM_Q6_K,             /* GGUF blocks */
    PM_DTYPE_N
} pm_dtype;
/* clang-format on */
const char *pm_dtype_name(pm_dtype t);

typedef struct pm_tensor_info {
    const char *name;
    pm_dtype dtype;
    int n_dims;
    int64_t dim[4];   /* row-major: dim[0] is the outermost (GGUF's order is reversed on reading) */
    const void *data; /* inside the mapping */
    size_t n_bytes;
} pm_tensor_info;

/* Elements; bytes of n elements of t (0 when n is not a whole number of blocks). */
int64_t pm_tensor_info_count(const pm_tensor_info *t);
/* The tensor is [rows, cols], or the vector [cols] where rows is 1. */
bool pm_tensor_info_fits(const pm_tensor_info *t, int64_t rows, int64_t cols);
/* "[3,4]", for messages. */
#define PM_SHAPE_TEXT 100
void pm_tensor_info_shape(const pm_tensor_info *t, char out[PM_SHAPE_TEXT]);
size_t pm_dtype_bytes(pm_dtype t, int64_t n);
bool pm_dtype_is_float(pm_dtype t); /* convertible by pm_dtype_to_real */
/* dst[i] = element i, i < n. n must be whole blocks. Parallel. */
void pm_dtype_to_real(pm_dtype t, const void *src, int64_t n, real *dst);
void pm_real_to_f32(const real *src, int64_t n, float *dst);

/* A whole file mapped. The pages are private: a merge may write to a weight in place, the file never changes. */
typedef struct pm_map {
    const uint8_t *p;
    size_t n_bytes;
} pm_map;
pm_status pm_map_open(const char *path, pm_map *m, pm_err *e); /* PM_EIO; empty files are PM_EFORMAT */
void pm_map_close(pm_map *m);
/* The whole pages of mapped bytes that nothing has written to leave memory; whoever reads them again gets them from the file again. */
void pm_map_forget(const void *p, size_t n_bytes);

/* safetensors.c: one file or a sharded set (model.safetensors.index.json). */
typedef struct pm_safetensors pm_safetensors;
/* path: a .safetensors file, an .index.json, or a directory with either. */
pm_status pm_safetensors_open(const char *path, pm_safetensors **out, pm_err *e);
/* The same from bytes that outlive the result; `what` names them in messages. */
pm_status pm_safetensors_from_bytes(const void *p, size_t n_bytes, const char *what, pm_safetensors **out,
                                    pm_err *e);
void pm_safetensors_close(pm_safetensors *s);
int pm_safetensors_count(const pm_safetensors *s);
const pm_tensor_info *pm_safetensors_at(const pm_safetensors *s, int i);              /* sorted by name */
const pm_tensor_info *pm_safetensors_find(const pm_safetensors *s, const char *name); /* NULL: absent */

typedef struct pm_save_tensor {
    const char *name;
    int64_t rows, cols; /* cols 0: one-dimensional [rows] */
    const real *data;
} pm_save_tensor;
/* Writes path via a temporary file, fsync and rename: never half a file. metadata: "key","value" pairs ending with NULL, or NULL.
 * type: PM_F32, or PM_BFLOAT16 (rounded to nearest, ties to even); without it F32. */
pm_status pm_safetensors_save_as(const char *path, const pm_save_tensor *t, int n, pm_dtype type,
                                 const char *const *metadata, pm_err *e);
pm_status pm_safetensors_save(const char *path, const pm_save_tensor *t, int n, const char *const *metadata,
                              pm_err *e);

/* gguf.c: versions 2 and 3. */
typedef struct pm_gguf pm_gguf;
pm_status pm_gguf_open(const char *path, pm_gguf **out, pm_err *e);
/* The same from bytes that outlive the result. */
pm_status pm_gguf_from_bytes(const void *p, size_t n_bytes, const char *what, pm_gguf **out, pm_err *e);
void pm_gguf_close(pm_gguf *g);
const char *pm_gguf_path(const pm_gguf *g); /* what was opened, for messages */
int pm_gguf_count(const pm_gguf *g);
const pm_tensor_info *pm_gguf_at(const pm_gguf *g, int i); /* sorted by name */
const pm_tensor_info *pm_gguf_find(const pm_gguf *g, const char *name);
/* Metadata. The getters return false when the key is absent or of another type; integers of every width convert when they fit. */
bool pm_gguf_int(const pm_gguf *g, const char *key, int64_t *out);
bool pm_gguf_real(const pm_gguf *g, const char *key, double *out);
bool pm_gguf_bool(const pm_gguf *g, const char *key, bool *out);
/* *s lies inside the mapping and is not terminated. */
bool pm_gguf_str(const pm_gguf *g, const char *key, const char **s, size_t *n);
typedef struct pm_gguf_array {
    int type; /* GGUF's value type: 8 = string, 5 = int32, 6 = float32, ... */
    uint64_t n;
    const uint8_t *p, *end; /* the elements' bytes */
} pm_gguf_array;
bool pm_gguf_array_get(const pm_gguf *g, const char *key, pm_gguf_array *out);
/* Reads the next string and advances; false at the end. */
bool pm_gguf_array_str(pm_gguf_array *a, const char **s, size_t *n);
#endif
