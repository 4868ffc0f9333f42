/* task.h - from a task's JSON file to token ids: rows -> template -> prompt, answer, choices; splits disjoint by content hash. */
#ifndef PM_TASK_H
#define PM_TASK_H
#include "common.h"
#include "tokenizer.h"

typedef enum pm_task_kind {
    PM_TASK_CHOICE,
    PM_TASK_CLASSIFY,
    PM_TASK_EXACT,
    PM_TASK_LM,
    PM_TASK_TOKENS
} pm_task_kind;
const char *pm_task_kind_name(pm_task_kind k);

/* One scored candidate of a choice or classify item: ids = context + continuation, whole; the evaluator shares common prefixes. */
typedef struct pm_choice {
    int32_t *ids;
    int n, score_from; /* log-likelihood is summed over ids[score_from .. n) */
    int n_chars;       /* Unicode characters of the option's text (lm-evaluation-harness: len(choice)) */
    int n_bytes;
} pm_choice;

typedef struct pm_example {
    char id[17];       /* first 16 hex digits of the content hash */
    int32_t *ids;      /* training sequence: prompt then answer */
    int n, prompt_len; /* ids[0..prompt_len) is the prompt */
    int32_t *labels;   /* [n]; -100: not scored; labels[i] is predicted from position i-1. As train.loss_on */
    pm_choice *choice; /* choice, classify */
    int n_choices, gold;
    char *gold_text; /* exact: the reference answer, after the task's extractor; choice: the option's text */
    char *prompt_text;
    char *
        cluster; /* what the item is about (the task's "cluster", a long text by its hash); NULL: it stands alone, or nothing is scored */
    bool truncated; /* cut to max_len (from the left of the prompt) */
} pm_example;

typedef struct pm_split {
    pm_example *ex;
    int n;
    char hash[65]; /* sha256 over the token ids and labels in order */
    int n_dropped; /* rows left out because a split of higher priority (test, validation) holds the same question */
    bool in_common;     /* ids and texts are read-only, in memory that other processes read too; then: */
    int64_t n_bytes;    /* that the split takes */
    pm_choice *choices; /* of all examples */
} pm_split;

typedef struct pm_task {
    char name[64], path[1024];
    int version;
    pm_task_kind kind;
    char cite[256], licence[128];
    int max_new_tokens; /* exact */
    /* exact: how an answer is read from text (task_extract.c): marked_number | last_number | last_value | line; and a second, more
     * lenient reading that may be reported beside it, "" none. */
    char extract[32], extract_flexible[32];
    char stop[32];        /* exact: generation stops at this text as well as at <eos>; "" none */
    struct cJSON *json;   /* the whole definition */
    struct pm_rows *rows; /* every split's rows once one was loaded; NULL: not read, or forgotten */
    int dropped[3];       /* train, validation, test: duplicates taken out */
} pm_task;

typedef struct pm_task_opts {
    const char *data_dir;   /* where fetched files lie */
    int max_len;            /* tokens; 0: no limit (lm: windows of 1024) */
    int limit;              /* first n rows after the split rule; 0: all */
    bool loss_on_all;       /* train.loss_on=all: prompt tokens are scored too */
    bool train_only;        /* nothing will be scored: of a row's options only the right one gets ids */
    pm_common *common;      /* where splits are found, and put for others; NULL: nowhere */
    const char *model_path; /* common: where the tokenizer comes from */
} pm_task_opts;

/* name_or_path: a task's name (datasets/NAME.json; case does not matter, - is _), a .json file, or a bare .jsonl of token rows. PM_EUSAGE names near matches. */
pm_status pm_task_open(const char *name_or_path, pm_task **out, pm_err *e);
void pm_task_close(pm_task *t);
/* Reads, renders, tokenises one split: "train", "validation" or "test". Fails when the file is missing (hint: data fetch NAME), its
 * sha256 differs from the manifest, or the split shares a content hash with another one. tok may be NULL for token tasks. */
pm_status pm_task_load(pm_task *t, const char *split, const pm_tokenizer *tok, const pm_task_opts *o,
                       pm_split *out, pm_err *e);
/* Rows are kept from one split's load to the next one's: whoever has loaded all that is wanted frees them with this. */
void pm_task_forget_rows(pm_task *t);
bool pm_task_has(const pm_task *t, const char *split); /* whether it names rows for that split */
void pm_split_free(pm_split *s);
/* Bytes of its rows as tokens and texts: in memory of its own, from malloc, and in memory that other processes read too. */
void pm_split_bytes(const pm_split *s, int64_t *own, int64_t *common);
/* From now on this process loads no test split: PM_ELOCKED. There is no way back. What tunes calls it first, so that no path through the
 * code, and no setting, lets a choice be made by test results. (Test rows' hashes are still read, to keep the splits apart.) */
void pm_test_lock(void);
bool pm_test_locked(void);
/* exact: the answer in a model's output under the task's extractor; caller frees. Equality after this is the metric. */
char *pm_task_extract(const pm_task *t, const char *text);
char *pm_task_extract_flexible(const pm_task *t, const char *text); /* NULL: the task has none */

/* The files a task's rows and labels lie in, each once. Strings belong to the task; url and sha256 may be NULL. */
typedef struct pm_task_file {
    const char *file, *url, *sha256;
} pm_task_file;
enum { PM_TASK_FILES_MAX = 6 }; /* rows and labels of three splits */
int pm_task_files(const pm_task *t, pm_task_file out[PM_TASK_FILES_MAX]); /* how many */

/* The names of the shipped tasks, sorted; free with pm_task_names_free. */
pm_status pm_task_names(char ***names, int *n, pm_err *e);
void pm_task_names_free(char **names, int n);
#endif
