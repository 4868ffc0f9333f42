/* load.c - from a Hugging Face directory or a GGUF file to a model whose every weight is bound and hashed.
 *
 * Order: dimensions, skeleton, names and shapes of all tensors checked, hash, then the numbers. So nothing large is allocated for a file
 * that does not hold what its configuration promises, and a tensor that nothing here would use (an unknown bias) is an error, not ignored.
 * F32 weights are used where they lie in the mapping (float build); everything else is converted, into the base arena or, where there is a
 * cache, once for all runs.
 * GGUF: llama.cpp stores the rows of each q and k head interleaved for its own rotation: stored row 2i + p is Hugging Face's row
 * p D/2 + i (architecture llama only). Llama-3's rotary scaling comes as divisors of the frequencies, tensor rope_freqs.weight.
 */
#include "bytes.h"
#include "model.h"
#include "sha256.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct binding {
    pm_param *p;
    const pm_tensor_info *t;
    int head; /* width D of the heads whose rows are interleaved; 0: rows are in place */
} binding;

typedef struct loader {
    const char *path;
    pm_arena *base;
    pm_cache *cache; /* or NULL */
    pm_loaded *out;
    pm_model *m;
    const pm_tensor_info *all; /* [n_all] the file's tensors */
    int n_all;
    binding *b; /* [m->n_params] */
} loader;

/* ---- names ---- */

static const struct {
    const char *hf, *gguf;
} TOP_NAMES[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                 {"model.norm.weight", "output_norm.weight"},
                 {"lm_head.weight", "output.weight"}},
  LAYER_NAMES[] = {{"self_attn.q_proj", "attn_q"},          {"self_attn.k_proj", "attn_k"},
                   {"self_attn.v_proj", "attn_v"},          {"self_attn.o_proj", "attn_output"},
                   {"mlp.gate_proj", "ffn_gate"},           {"mlp.up_proj", "ffn_up"},
                   {"mlp.down_proj", "ffn_down"},           {"input_layernorm", "attn_norm"},
                   {"post_attention_layernorm", "ffn_norm"}};

/* model.layers.7.self_attn.q_proj.bias -> blk.7.attn_q.bias. Every name that pm_model_new makes has one. */
static void gguf_name(const char *hf, char *out, size_t cap) {
    for (size_t i = 0; i < sizeof TOP_NAMES / sizeof *TOP_NAMES; i++)
        if (!strcmp(hf, TOP_NAMES[i].hf)) {
            snprintf(out, cap, "%s", TOP_NAMES[i].gguf);
            return;
        }
    int layer = 0, at = 0;
    PM_ASSERT(sscanf(hf, "model.layers.%d.%n", &layer, &at) == 1 && at, "%s", hf);
    for (size_t i = 0; i < sizeof LAYER_NAMES / sizeof *LAYER_NAMES; i++) {
        size_t n = strlen(LAYER_NAMES[i].hf);
        if (strncmp(hf + at, LAYER_NAMES[i].hf, n) != 0 || hf[at + (int)n] != '.') continue;
        snprintf(out, cap, "blk.%d.%s%s", layer, LAYER_NAMES[i].gguf, hf + at + n);
        return;
    }
    PM_ASSERT(false, "no GGUF name for %s", hf);
}

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

/* Tensors that files carry and nobody needs: tables that are recomputed, the head of a tied model. */
static bool is_spare(const loader *l, const char *name) {
    return ends_with(name, "rotary_emb.inv_freq") || ends_with(name, "attn_rot_embd.weight") ||
           !strcmp(name, "rope_freqs.weight") || (l->m->cfg.tied && !strcmp(name, "lm_head.weight"));
}

/* ---- what is in the file against what the model needs ---- */

static pm_status mismatch(const loader *l, const pm_param *p, const pm_tensor_info *t, pm_err *e) {
    char shape[PM_SHAPE_TEXT];
    pm_tensor_info_shape(t, shape);
    return pm_damaged(e, l->path, "tensor %s: shape %s, the configuration needs [%lld,%lld]", t->name, shape,
                      (long long)p->rows, (long long)p->cols);
}

static pm_status bind(loader *l, binding *b, pm_err *e) {
    char name[256];
    bool gguf = l->out->gguf != NULL;
    if (gguf)
        gguf_name(b->p->name, name, sizeof name);
    else
        snprintf(name, sizeof name, "%s", b->p->name);
    b->t = gguf ? pm_gguf_find(l->out->gguf, name) : pm_safetensors_find(l->out->st, name);
    if (!b->t) return pm_damaged(e, l->path, "tensor %s is missing", name);
    if (!pm_tensor_info_fits(b->t, b->p->rows, b->p->cols)) return mismatch(l, b->p, b->t, e);
    bool vector_of_blocks = b->t->n_dims == 1 && !pm_dtype_bytes(b->t->dtype, 1);
    if (!pm_dtype_is_float(b->t->dtype) || vector_of_blocks) {
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: tensor %s: weights of type %s are not supported", l->path, name,
                pm_dtype_name(b->t->dtype));
        return pm_hint(e, "use weights in F32, F16, BF16 or one of GGUF's block types");
    }
    bool qk = strstr(name, ".attn_q.") || strstr(name, ".attn_k.");
    if (gguf && qk && !strcmp(l->m->cfg.arch, "llama")) b->head = l->m->cfg.D;
    return PM_OK;
}

static pm_status refuse_unused(const loader *l, pm_err *e) {
    bool *used = pm_xcalloc((size_t)l->n_all, sizeof *used);
    for (int i = 0; i < l->m->n_params; i++) used[l->b[i].t - l->all] = true;
    const char *stray = NULL;
    for (int i = 0; i < l->n_all && !stray; i++)
        if (!used[i] && !is_spare(l, l->all[i].name)) stray = l->all[i].name;
    free(used);
    if (!stray) return PM_OK;
    pm_fail(e, PM_EUNSUPPORTED, "%.200s: tensor %s: the %s architecture has no use for it", l->path, stray,
            l->m->cfg.arch);
    return pm_hint(e, "this model computes something that peftmeter does not");
}

static pm_status bind_all(loader *l, pm_err *e) {
    l->b = pm_xcalloc((size_t)l->m->n_params, sizeof *l->b);
    for (int i = 0; i < l->m->n_params; i++) {
        l->b[i].p = &l->m->params[i];
        pm_status s = bind(l, &l->b[i], e);
        if (s) return s;
    }
    return refuse_unused(l, e);
}

/* ---- the hash ---- */

enum { PIECE = 1 << 22 };
typedef struct piece {
    const uint8_t *p;
    size_t n;
    char digest[65];
} piece;

static int n_pieces(const pm_tensor_info *t) {
    return (int)((t->n_bytes + PIECE - 1) / PIECE);
}

/* Every 4 MiB piece of every tensor, digested by all threads. The caller frees. */
static piece *digest_pieces(const loader *l) {
    int total = 0;
    for (int i = 0; i < l->m->n_params; i++) total += n_pieces(l->b[i].t);
    piece *all = pm_xcalloc((size_t)total, sizeof *all), *k = all;
    for (int i = 0; i < l->m->n_params; i++) {
        const pm_tensor_info *t = l->b[i].t;
        for (size_t at = 0; at < t->n_bytes; at += PIECE)
            *k++ =
                (piece){(const uint8_t *)t->data + at, t->n_bytes - at < PIECE ? t->n_bytes - at : PIECE, ""};
    }
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < total; i++) pm_sha256_of(all[i].p, all[i].n, all[i].digest);
    return all;
}

/* sha256 over name, type, shape and piece digests of each tensor, in the model's order, after the numbers that decide what is computed. */
static void hash_all(const loader *l) {
    const pm_model_cfg *c = &l->m->cfg;
    piece *all = digest_pieces(l), *k = all;
    char line[512];
    pm_sha256 sha;
    pm_sha256_init(&sha);
    snprintf(line, sizeof line, "%s H=%d kv=%d D=%d eps=%.9g rope=%d %.17g %.17g %.17g %.17g %d tied=%d\n",
             c->arch, c->H, c->n_kv, c->D, (double)c->norm_eps, c->rope.kind, c->rope.theta, c->rope.factor,
             c->rope.low_freq_factor, c->rope.high_freq_factor, c->rope.original_max, c->tied);
    pm_sha256_update(&sha, line, strlen(line));
    for (int i = 0; i < l->m->n_params; i++) {
        const binding *b = &l->b[i];
        snprintf(line, sizeof line, "%s %s %lld %lld\n", b->p->name, pm_dtype_name(b->t->dtype),
                 (long long)b->p->rows, (long long)b->p->cols);
        pm_sha256_update(&sha, line, strlen(line));
        for (int j = n_pieces(b->t); j > 0; j--, k++) pm_sha256_update(&sha, k->digest, 64);
    }
    pm_sha256_hex(&sha, l->m->hash);
    free(all);
}

/* ---- the numbers ---- */

/* Rows [from, to) of one tensor: the unit that threads take, so that small tensors cost no barrier of their own. */
typedef struct task {
    const binding *b;
    int64_t from, to;
    bool finite;
} task;
enum { TASK_NUMBERS = 1 << 16 };

static bool in_place(const binding *b) {
    return sizeof(real) == sizeof(float) && b->t->dtype == PM_F32 && !b->head &&
           (uintptr_t)b->t->data % 4 == 0;
}

/* How a tensor is cut: a vector is one row, unless single numbers of it change places (a q or k bias). */
static void cut(const binding *b, int64_t *rows, int64_t *cols) {
    bool by_number = b->head && b->t->n_dims == 1;
    *rows = by_number ? b->p->cols : b->p->rows;
    *cols = by_number ? 1 : b->p->cols;
}

/* x * 0 is 0 for every finite x and NaN for the others: one sum answers for all. */
static bool all_finite(const real *x, int64_t n) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

static void run_task(task *k) {
    const pm_tensor_info *t = k->b->t;
    int64_t rows, cols, head = k->b->head;
    cut(k->b, &rows, &cols);
    real *dst = k->b->p->w + k->from * cols;
    const uint8_t *src = t->data;
    size_t row_bytes = pm_dtype_bytes(t->dtype, cols);
    if (!head && !in_place(k->b))
        pm_dtype_to_real(t->dtype, src + (size_t)k->from * row_bytes, (k->to - k->from) * cols, dst);
    for (int64_t r = k->from; head && r < k->to; r++) { /* rows of each head back from llama.cpp's order */
        int64_t j = r % head, stored = r - j + 2 * (j % (head / 2)) + j / (head / 2);
        pm_dtype_to_real(t->dtype, src + (size_t)stored * row_bytes, cols, dst + (r - k->from) * cols);
    }
    k->finite = all_finite(dst, (k->to - k->from) * cols);
}

/* Bytes that a converted weight takes in a block of them, each on a boundary of its own. */
static size_t block_bytes(const binding *b) {
    size_t bytes = (size_t)(b->p->rows * b->p->cols) * sizeof(real), align = 64;
    return in_place(b) ? 0 : (bytes + align - 1) / align * align;
}

static size_t all_block_bytes(const loader *l) {
    size_t n = 0;
    for (int i = 0; i < l->m->n_params; i++) n += block_bytes(&l->b[i]);
    return n;
}

/* Weights used where they lie in the file, and the others one after another in the block. */
static void place_all(loader *l, uint8_t *block) {
    for (int i = 0; i < l->m->n_params; i++) {
        binding *b = &l->b[i];
        bool mapped = in_place(b);
        b->p->w =
            mapped ? (real *)(uintptr_t)b->t->data : (real *)(void *)block; /* private pages: see map.c */
        block += block_bytes(b);
    }
}

static void count_mapped(const loader *l, bool block) {
    for (int i = 0; i < l->m->n_params; i++)
        if (in_place(&l->b[i])) l->out->mapped_bytes += (int64_t)l->b[i].t->n_bytes;
    if (block) l->out->mapped_bytes += (int64_t)all_block_bytes(l);
}

/* Appends b's tasks to k (NULL: only counts them) and returns how many. */
static int64_t add_tasks(const binding *b, task *k) {
    int64_t rows, cols, n = 0;
    cut(b, &rows, &cols);
    int64_t step = cols < TASK_NUMBERS ? TASK_NUMBERS / cols : 1;
    for (int64_t at = 0; at < rows; at += step, n++)
        if (k) k[n] = (task){b, at, at + step < rows ? at + step : rows, false};
    return n;
}

/* Converts what must be and looks at every number. converted: the block holds its numbers, which were looked at when they went there. */
static pm_status fill(const loader *l, bool converted, pm_err *e) {
    int64_t total = 0, n = 0;
    for (int i = 0; i < l->m->n_params; i++) total += add_tasks(&l->b[i], NULL);
    task *all = pm_xcalloc((size_t)total, sizeof *all);
    for (int i = 0; i < l->m->n_params; i++)
        if (!converted || in_place(&l->b[i])) n += add_tasks(&l->b[i], all + n);
    total = n;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < total; i++) run_task(&all[i]);
    const char *bad = NULL;
    for (int64_t i = 0; i < total && !bad; i++)
        if (!all[i].finite) bad = all[i].b->t->name;
    free(all);
    return bad ? pm_damaged(e, l->path, "tensor %s: holds a number that is not finite", bad) : PM_OK;
}

/* A converted weight is read nowhere else: its pages in the file would be resident beside it. */
static void forget_converted(const loader *l) {
    for (int i = 0; i < l->m->n_params; i++)
        if (!in_place(&l->b[i])) pm_map_forget(l->b[i].t->data, l->b[i].t->n_bytes);
}

enum { KEPT_VERSION = 1, KEPT_LEAST = 16 << 20 }; /* smaller blocks are converted faster than found */

/* Who converts has the numbers in an arena of its own and leaves a copy to all who come later; they map it. */
static pm_status fill_all(loader *l, pm_err *e) {
    size_t n_bytes = all_block_bytes(l);
    bool keep = l->cache && n_bytes >= KEPT_LEAST;
    char key[128];
    snprintf(key, sizeof key, "weights-%s-%zu-%d", l->m->hash, sizeof(real), KEPT_VERSION);
    const uint8_t *kept = keep ? l->cache->find(l->cache, key, n_bytes) : NULL;
    uint8_t *block = kept ? (uint8_t *)(uintptr_t)kept : pm_arena_alloc(l->base, n_bytes, PM_MEM_WEIGHTS);
    place_all(l, block);
    count_mapped(l, kept != NULL);
    pm_status s = fill(l, kept != NULL, e);
    forget_converted(l);
    if (!s && keep && !kept) l->cache->put(l->cache, key, block, n_bytes);
    return s;
}

/* Llama-3's rotary scaling in a GGUF. */
static pm_status apply_rope_freqs(const loader *l, pm_err *e) {
    const pm_tensor_info *t = l->out->gguf ? pm_gguf_find(l->out->gguf, "rope_freqs.weight") : NULL;
    if (!t) return PM_OK;
    int half = l->m->cfg.D / 2;
    if (t->dtype != PM_F32 || pm_tensor_info_count(t) != half)
        return pm_damaged(e, l->path, "tensor rope_freqs.weight: not %d numbers in F32", half);
    for (int i = 0; i < half; i++) {
        real divisor;
        pm_dtype_to_real(PM_F32, (const uint8_t *)t->data + 4 * i, 1, &divisor);
        if (!(divisor > 0) || !isfinite(divisor))
            return pm_damaged(e, l->path, "tensor rope_freqs.weight: holds a divisor that is not positive");
        l->m->inv_freq[i] /= (double)divisor;
    }
    return PM_OK;
}

/* From dimensions and an open file to a model. */
static pm_status build(loader *l, const pm_model_cfg *cfg, pm_err *e) {
    l->m = l->out->model = pm_model_new(l->base, cfg);
    pm_status s = bind_all(l, e);
    if (!s) hash_all(l);
    if (!s) s = fill_all(l, e);
    if (!s) s = apply_rope_freqs(l, e);
    free(l->b);
    return s;
}

/* ---- the two kinds of source ---- */

static pm_status load_gguf(loader *l, pm_err *e) {
    pm_model_cfg cfg;
    pm_status s = pm_gguf_open(l->path, &l->out->gguf, e);
    if (!s) s = pm_model_cfg_from_gguf(l->out->gguf, &cfg, e);
    if (s) return s;
    l->n_all = pm_gguf_count(l->out->gguf);
    l->all = pm_gguf_at(l->out->gguf, 0); /* there is one: the configuration needs the embedding */
    s = build(l, &cfg, e);
    const char *kind;
    size_t n;
    if (s || !pm_gguf_str(l->out->gguf, "tokenizer.ggml.model", &kind, &n)) return s;
    return pm_tokenizer_from_gguf(l->out->gguf, &l->out->tok, e);
}

static pm_status read_json(const char *path, pm_model_cfg *cfg, pm_err *e) {
    pm_map m;
    pm_status s = pm_map_open(path, &m, e);
    if (s) return s;
    s = pm_model_cfg_from_json((const char *)m.p, m.n_bytes, path, cfg, e);
    pm_map_close(&m);
    return s;
}

static pm_status read_config(const char *dir, pm_model_cfg *cfg, pm_err *e) {
    char path[1200];
    snprintf(path, sizeof path, "%s/config.json", dir);
    pm_status s = read_json(path, cfg, e);
    return s == PM_EIO ? pm_hint(e, "a model directory holds config.json and model.safetensors") : s;
}

static pm_status read_gguf(const char *path, pm_model_cfg *cfg, pm_err *e) {
    pm_gguf *g;
    pm_status s = pm_gguf_open(path, &g, e);
    if (s) return s;
    s = pm_model_cfg_from_gguf(g, cfg, e);
    pm_gguf_close(g);
    return s;
}

pm_status pm_model_cfg_read(const char *path, pm_model_cfg *cfg, pm_err *e) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return read_config(path, cfg, e);
    return (ends_with(path, ".json") ? read_json : read_gguf)(path, cfg, e);
}

static pm_status load_directory(loader *l, pm_err *e) {
    pm_model_cfg cfg;
    pm_status s = read_config(l->path, &cfg, e);
    if (!s) s = pm_safetensors_open(l->path, &l->out->st, e);
    if (s) return s;
    l->n_all = pm_safetensors_count(l->out->st);
    if (!l->n_all) return pm_damaged(e, l->path, "model.safetensors holds no tensor");
    l->all = pm_safetensors_at(l->out->st, 0);
    s = build(l, &cfg, e);
    char file[1200];
    snprintf(file, sizeof file, "%s/tokenizer.json", l->path);
    return s || access(file, F_OK) ? s : pm_tokenizer_from_json(l->path, &l->out->tok, e);
}

/* Ids beyond the embedding would read past it. */
static pm_status check_vocabulary(const loader *l, pm_err *e) {
    int64_t ids = l->out->tok ? pm_tokenizer_vocab(l->out->tok) : 0, rows = l->out->model->cfg.V;
    if (ids <= rows) return PM_OK;
    return pm_damaged(e, l->path, "the tokenizer has %lld ids, the embedding %lld rows", (long long)ids,
                      (long long)rows);
}

static pm_status load(loader *l, pm_err *e) {
    struct stat st;
    if (strlen(l->path) >= sizeof l->out->path)
        return pm_fail(e, PM_EIO, "%.200s...: the path is too long", l->path);
    if (stat(l->path, &st)) {
        pm_fail(e, PM_EIO, "%.200s: no such file or directory", l->path);
        return pm_hint(e, "give a model directory, a .gguf file, or a name that `peftmeter models` lists");
    }
    snprintf(l->out->path, sizeof l->out->path, "%s", l->path);
    if (ends_with(l->path, ".safetensors")) {
        pm_fail(e, PM_EUSAGE, "%.200s: weights alone are not a model", l->path);
        return pm_hint(e, "give the directory that holds config.json beside them");
    }
    pm_status s = S_ISDIR(st.st_mode) ? load_directory(l, e) : load_gguf(l, e);
    return s ? s : check_vocabulary(l, e);
}

pm_status pm_model_load_kept(const char *path, pm_arena *base, pm_cache *cache, pm_loaded *out, pm_err *e) {
    memset(out, 0, sizeof *out);
    loader l = {.path = path, .base = base, .cache = cache, .out = out};
    pm_status s = load(&l, e);
    if (s) pm_model_close(out);
    return s;
}

pm_status pm_model_load(const char *path, pm_arena *base, pm_loaded *out, pm_err *e) {
    return pm_model_load_kept(path, base, NULL, out, e);
}

void pm_model_close(pm_loaded *l) {
    if (l->tok) pm_tokenizer_free(l->tok);
    pm_safetensors_close(l->st);
    pm_gguf_close(l->gguf);
    memset(l, 0, sizeof *l);
}
