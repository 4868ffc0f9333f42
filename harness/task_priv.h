/* task_priv.h - what the files behind task.h share: rows on their way from a file to a split.
 *
 * task.c opens a definition; task_rows.c reads a data file into rows of named fields, task_generated.c
 * makes rows by rule; task_shape.c recovers plain fields from
 * collections with a format of their own; task_render.c fills templates; task_split.c gives every row to one split by content hash;
 * task_tokens.c makes token ids; task_extract.c reads answers out of generated text.
 */
#ifndef PM_TASK_PRIV_H
#define PM_TASK_PRIV_H
#include "jsonio.h"
#include "task.h"
#include "text.h"

enum {
    PM_TRAIN,
    PM_VALIDATION,
    PM_TEST,
    PM_N_SPLITS
}; /* in rising priority: a duplicate stays in the highest */
extern const char *const pm_split_names[PM_N_SPLITS];
int pm_split_index(const char *name); /* -1: none of the three */

typedef struct pm_row {
    cJSON *fields; /* an object */
    int number;    /* from 1, in its file */
    int split;     /* -1: dropped */
    char hash[65]; /* of the normalised content; "" before pm_row_hash */
} pm_row;
typedef struct pm_rows {
    pm_row *row;
    int n, cap;
} pm_rows;
void pm_rows_add(pm_rows *r, cJSON *fields); /* takes the object */
void pm_rows_free(pm_rows *r);

/* Known words of a definition. */
bool pm_format_known(const char *format);
bool pm_shape_known(const char *shape);
bool pm_extract_known(const char *extract);

/* A file beside the task's own; an absolute one as it is. */
pm_status pm_task_beside(const pm_task *t, const char *file, char *path, size_t cap, pm_err *e);
/* The path of a manifest's file: below data_dir, else beside the task's own file; checked against the manifest's sha256 where it has one. */
pm_status pm_data_path(const pm_task *t, const cJSON *entry, const char *data_dir, char *path, size_t cap,
                       pm_err *e);
/* Reads the file of one data entry, joins its labels, applies its shape; or makes its rows. */
pm_status pm_rows_read(const pm_task *t, const cJSON *entry, const char *data_dir, pm_rows *out, pm_err *e);
/* Rows made by a rule (task_generated.c): the entry checked, and its rows. */
pm_status pm_generated_check(const char *split, const cJSON *entry, pm_err *e);
pm_status pm_generated_rows(const cJSON *entry, pm_rows *out, pm_err *e);
/* Rewrites a row in place ("rows" of a data entry). PM_EFORMAT when it does not look as that collection's rows do. */
pm_status pm_row_shape(const char *shape, cJSON *fields, pm_err *e);

/* Appends the template with each {field} replaced; {option} is `option`. PM_EFORMAT names the missing field. */
pm_status pm_render(const char *template, const cJSON *fields, const char *option, pm_buf *out, pm_err *e);
/* The option texts of a choice or classify row; free with pm_options_free. */
pm_status pm_options(const pm_task *t, const cJSON *fields, char ***text, int *n, pm_err *e);
void pm_options_free(char **text, int n);
pm_status pm_gold(const pm_task *t, const cJSON *fields, int n_options, int *gold, pm_err *e);
/* sha256 of question and options: lower case, white space collapsed, options sorted. */
pm_status pm_row_hash(const pm_task *t, pm_row *row, pm_err *e);

/* Reads every split's rows into t->rows, unless they are there, and gives each to one split. */
pm_status pm_rows_assign(pm_task *t, const char *data_dir, pm_err *e);
/* PM_EFORMAT when a content hash is in two splits: says how many and where the first lies. */
pm_status pm_rows_disjoint(const pm_task *t, pm_rows *r, pm_err *e);

/* Puts "task: split row N: " before a failure's message. */
pm_status pm_task_at(const pm_task *t, int split, int number, pm_err *e);

/* Rows of one split -> examples. */
pm_status pm_rows_tokenise(const pm_task *t, const pm_rows *r, int split, const pm_tokenizer *tok,
                           const pm_task_opts *o, pm_split *out, pm_err *e);
/* Pre-tokenised rows (kind tokens) of one file, strictly checked; vocab 0: unknown. */
pm_status pm_tokens_read(const pm_task *t, const cJSON *entry, int32_t vocab, const pm_task_opts *o,
                         pm_split *out, pm_err *e);
void pm_split_hash(pm_split *s);

/* Splits that processes have in common (task_common.c). The key under which one lies, by all that decides its tokens. */
void pm_split_key(const pm_task *t, const char *split, const pm_task_opts *o, char key[PM_COMMON_KEY]);
/* False: it is not there, and this process is to load it and call pm_split_put, or c->drop. */
bool pm_split_find(pm_common *c, const char *key, pm_split *out);
/* Puts s there, for others; it is then read where they read it. Where there is no room it stays this process's own. */
void pm_split_put(pm_common *c, pm_split *s);

char *pm_text_extract(const char *how, const char *text);
#endif
