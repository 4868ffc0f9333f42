/* task_common.c - a split's tokens in memory that processes have in common: whoever needs them first reads, renders and tokenises, the others
 * find them. One block holds numbers, examples, options, ids and texts, one after another, and places instead of pointers.
 *
 * A block is known by all that decides its tokens: the definition, which split of it, the options, and the files of data and tokenizer as
 * they are (device, inode, size, times): a file that was changed is read again.
 */
#include "common.h"
#include "sha256.h"
#include "task_priv.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_CAP = 4096, NOTHING = -1 };

typedef struct flat_head {
    int64_t n, n_choices, n_ids, n_text, n_dropped;
    char hash[72];
} flat_head;

typedef struct flat_example {
    int64_t ids, labels, gold_text, prompt_text, cluster; /* places; NOTHING: NULL */
    int32_t n, prompt_len, n_choices, gold, truncated;
    char id[20];
} flat_example;

typedef struct flat_choice {
    int64_t ids;
    int32_t n, score_from, n_chars, n_bytes;
} flat_choice;

/* Where the parts of a block are. */
typedef struct flat {
    flat_head *head;
    flat_example *example;
    flat_choice *choice;
    int32_t *ids;
    char *text;
    size_t n_bytes;
} flat;

static flat parts_of(const void *block, const flat_head *h) {
    flat f = {.head = (flat_head *)(uintptr_t)block};
    char *at = (char *)(uintptr_t)block + sizeof *h;
    f.example = (flat_example *)(void *)at, at += (size_t)h->n * sizeof *f.example;
    f.choice = (flat_choice *)(void *)at, at += (size_t)h->n_choices * sizeof *f.choice;
    f.ids = (int32_t *)(void *)at, at += (size_t)h->n_ids * sizeof *f.ids;
    f.text = at, at += h->n_text;
    f.n_bytes = (size_t)(at - (char *)(uintptr_t)block);
    return f;
}

/* ---- what it is known by ---- */

static void add_file(pm_sha256 *s, const char *path) {
    struct stat st;
    char line[PATH_CAP + 200] = "";
    if (stat(path, &st) == 0)
        snprintf(line, sizeof line, "%s %lld %lld %lld %lld.%ld %lld.%ld", path, (long long)st.st_dev,
                 (long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                 st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    pm_sha256_update(s, line, strlen(line) + 1);
}

/* A file, or all files of a folder: a tokenizer is told by several. */
static void add_files(pm_sha256 *s, const char *path) {
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort);
    char file[PATH_CAP];
    if (n < 0) add_file(s, path);
    for (int i = 0; i < n; i++) {
        if (entry[i]->d_name[0] != '.' && !pm_path_join(file, sizeof file, path, entry[i]->d_name, NULL))
            add_file(s, file);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
}

static void add_data(pm_sha256 *s, const pm_task *t, const char *data_dir) {
    pm_task_file file[PM_TASK_FILES_MAX];
    char path[PATH_CAP];
    int n = pm_task_files(t, file);
    for (int i = 0; i < n; i++) {
        if (data_dir && !pm_path_join(path, sizeof path, data_dir, file[i].file, NULL)) add_file(s, path);
        if (!pm_task_beside(t, file[i].file, path, sizeof path, NULL)) add_file(s, path);
    }
}

void pm_split_key(const pm_task *t, const char *split, const pm_task_opts *o, char key[PM_COMMON_KEY]) {
    char *definition = cJSON_PrintUnformatted(t->json), hex[65], line[64];
    PM_ASSERT(definition, "out of memory: printing a task");
    snprintf(line, sizeof line, "%d %d %d %d", o->max_len, o->limit, o->loss_on_all, o->train_only);
    pm_sha256 s;
    pm_sha256_init(&s);
    pm_sha256_update(&s, definition, strlen(definition) + 1);
    pm_sha256_update(&s, line, strlen(line) + 1);
    add_data(&s, t, o->data_dir);
    add_files(&s, o->model_path ? o->model_path : "");
    pm_sha256_hex(&s, hex);
    snprintf(key, PM_COMMON_KEY, "%s of %s %s", split, t->name, hex);
    free(definition);
}

/* ---- writing ---- */

static int64_t text_bytes(const char *s) {
    return s ? (int64_t)strlen(s) + 1 : 0;
}

static flat_head measure(const pm_split *s) {
    flat_head h = {.n = s->n, .n_dropped = s->n_dropped};
    memcpy(h.hash, s->hash, sizeof s->hash);
    for (const pm_example *x = s->ex; x < s->ex + s->n; x++) {
        h.n_choices += x->n_choices;
        h.n_ids += x->n + (x->labels ? x->n : 0);
        for (int c = 0; c < x->n_choices; c++) h.n_ids += x->choice[c].n;
        h.n_text += text_bytes(x->gold_text) + text_bytes(x->prompt_text) + text_bytes(x->cluster);
    }
    return h;
}

void pm_split_bytes(const pm_split *s, int64_t *own, int64_t *common) {
    flat_head h = measure(s);
    int64_t rows = h.n_ids * (int64_t)sizeof(int32_t) + h.n_text;
    *own =
        h.n * (int64_t)sizeof *s->ex + h.n_choices * (int64_t)sizeof *s->choices + (s->in_common ? 0 : rows);
    *common = s->in_common ? s->n_bytes - *own : 0;
}

typedef struct writer {
    flat f;
    int64_t ids, text, choices; /* written so far */
} writer;

static int64_t put_ids(writer *w, const int32_t *ids, int n) {
    int64_t at = w->ids;
    if (!ids) return NOTHING;
    memcpy(w->f.ids + at, ids, (size_t)n * sizeof *ids);
    w->ids += n;
    return at;
}

static int64_t put_text(writer *w, const char *text) {
    int64_t at = w->text, n = text_bytes(text);
    if (!text) return NOTHING;
    memcpy(w->f.text + at, text, (size_t)n);
    w->text += n;
    return at;
}

static void put_example(writer *w, const pm_example *x, flat_example *out) {
    *out = (flat_example){.ids = put_ids(w, x->ids, x->n),
                          .labels = put_ids(w, x->labels, x->n),
                          .gold_text = put_text(w, x->gold_text),
                          .prompt_text = put_text(w, x->prompt_text),
                          .cluster = put_text(w, x->cluster),
                          .n = x->n,
                          .prompt_len = x->prompt_len,
                          .n_choices = x->n_choices,
                          .gold = x->gold,
                          .truncated = x->truncated};
    memcpy(out->id, x->id, sizeof x->id);
    for (const pm_choice *c = x->choice; c < x->choice + x->n_choices; c++)
        w->f.choice[w->choices++] =
            (flat_choice){put_ids(w, c->ids, c->n), c->n, c->score_from, c->n_chars, c->n_bytes};
}

static void write_block(const pm_split *s, const flat_head *h, void *block) {
    writer w = {.f = parts_of(block, h)};
    *w.f.head = *h;
    for (int i = 0; i < s->n; i++) put_example(&w, &s->ex[i], &w.f.example[i]);
}

/* ---- reading ---- */

static int32_t *ids_at(const flat *f, int64_t place) {
    return place < 0 ? NULL : f->ids + place;
}

static char *text_at(const flat *f, int64_t place) {
    return place < 0 ? NULL : f->text + place;
}

static void read_example(const flat *f, const flat_example *x, pm_choice *choice, const flat_choice *c,
                         pm_example *out) {
    *out = (pm_example){.ids = ids_at(f, x->ids),
                        .n = x->n,
                        .prompt_len = x->prompt_len,
                        .labels = ids_at(f, x->labels),
                        .choice = choice,
                        .n_choices = x->n_choices,
                        .gold = x->gold,
                        .gold_text = text_at(f, x->gold_text),
                        .prompt_text = text_at(f, x->prompt_text),
                        .cluster = text_at(f, x->cluster),
                        .truncated = x->truncated};
    memcpy(out->id, x->id, sizeof out->id);
    for (int i = 0; i < x->n_choices; i++)
        choice[i] = (pm_choice){ids_at(f, c[i].ids), c[i].n, c[i].score_from, c[i].n_chars, c[i].n_bytes};
}

/* A split whose ids and texts are where the block is. False: the block is none. */
static bool read_block(const void *block, size_t n_bytes, pm_split *out) {
    const flat_head *h = block;
    if (n_bytes < sizeof *h || parts_of(block, h).n_bytes != n_bytes) return false;
    flat f = parts_of(block, h);
    *out = (pm_split){.ex = pm_xalloc((size_t)h->n * sizeof *out->ex),
                      .n = (int)h->n,
                      .n_dropped = (int)h->n_dropped,
                      .in_common = true,
                      .choices = pm_xalloc((size_t)h->n_choices * sizeof *out->choices)};
    out->n_bytes =
        (int64_t)(n_bytes + (size_t)h->n * sizeof *out->ex + (size_t)h->n_choices * sizeof *out->choices);
    memcpy(out->hash, h->hash, sizeof out->hash);
    int64_t at = 0;
    for (int i = 0; i < out->n; i++) {
        read_example(&f, &f.example[i], out->choices + at, f.choice + at, &out->ex[i]);
        at += f.example[i].n_choices;
    }
    return true;
}

bool pm_split_find(pm_common *c, const char *key, pm_split *out) {
    size_t n_bytes;
    const void *block = c->find(c, key, &n_bytes);
    return block && read_block(block, n_bytes, out);
}

void pm_split_put(pm_common *c, pm_split *s) {
    flat_head h = measure(s);
    size_t n_bytes = parts_of(NULL, &h).n_bytes;
    pm_split there;
    void *block = c->room(c, n_bytes);
    if (!block) return;
    write_block(s, &h, block);
    const void *done = c->done(c);
    if (!done || !read_block(done, n_bytes, &there)) return;
    pm_split_free(s);
    *s = there;
}
