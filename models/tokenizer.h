/* tokenizer.h - text to token ids and back: byte-level BPE (GPT-2, SmolLM2, Qwen2, Llama-3) and SentencePiece-BPE (Llama-1/2).
 *
 * Truth: the `tokenizers` library. Policy for invalid UTF-8: see tokenizer.c (stated once, there).
 */
#ifndef PM_TOKENIZER_H
#define PM_TOKENIZER_H
#include "weights.h"

typedef struct pm_tokenizer pm_tokenizer;
typedef struct pm_ids { /* a growing list; free with pm_ids_free */
    int32_t *id;
    int64_t n, cap;
    int64_t
        n_dropped; /* bytes the vocabulary had no token for (no byte token, no fallback, no unknown token): left out, as the library does */
} pm_ids;
void pm_ids_push(pm_ids *l, int32_t id);
void pm_ids_free(pm_ids *l);

/* path: a directory with tokenizer.json, or the tokenizer.json itself; a tokenizer_config.json beside it names bos and eos.
 * PM_EIO: cannot be read; PM_EFORMAT: damaged; PM_EUNSUPPORTED names the component this build does not know. The caller frees *out. */
pm_status pm_tokenizer_from_json(const char *path, pm_tokenizer **out, pm_err *e);
/* From the metadata; g may be closed afterwards. Errors as above. */
pm_status pm_tokenizer_from_gguf(const pm_gguf *g, pm_tokenizer **out, pm_err *e);
/* Writes dir/tokenizer.json and dir/tokenizer_config.json for the tokenizer t that was read from g: what Hugging Face's libraries, and
 * pm_tokenizer_from_json, make the same ids from. PM_EUNSUPPORTED: a token that JSON cannot hold; PM_EIO. */
pm_status pm_tokenizer_save(const pm_tokenizer *t, const pm_gguf *g, const char *dir, pm_err *e);
void pm_tokenizer_free(pm_tokenizer *t);

enum {
    PM_TOK_BOS = 1,     /* what the model's template prepends */
    PM_TOK_SPECIAL = 2, /* "<|im_end|>" in the text becomes its token */
    PM_TOK_EOS = 4      /* what the model's template appends (most append nothing) */
};
/* Appends the ids of text[0..n_bytes), any bytes, to out; thread-safe. Fails only on a text of over 1 GB (PM_EUSAGE) or when a
 * tokenizer.json's own pattern gives up (PM_EFORMAT). */
pm_status pm_tokenizer_encode(const pm_tokenizer *t, const char *text, size_t n_bytes, unsigned flags,
                              pm_ids *out, pm_err *e);
/* The bytes of the ids, NUL-terminated and owned by the caller (free); *n_bytes may be NULL. Ids outside the vocabulary are skipped. */
char *pm_tokenizer_decode(const pm_tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                          size_t *n_bytes);

int32_t pm_tokenizer_vocab(const pm_tokenizer *t);
int32_t pm_tokenizer_bos(const pm_tokenizer *t); /* -1: none */
int32_t pm_tokenizer_eos(const pm_tokenizer *t); /* -1: none */
int32_t pm_tokenizer_id(const pm_tokenizer *t,
                        const char *token); /* exact vocabulary entry as stored; -1: none */
#endif
