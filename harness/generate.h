/* generate.h - greedy generation with a key-value cache, many prompts at once.
 *
 * A forward pass carries, without padding, the whole prompt of every newcomer and one token of every prompt
 * under way; a prompt that ends hands its cache slot to the next one.
 */
#ifndef PM_GENERATE_H
#define PM_GENERATE_H
#include "session.h"

enum { PM_GENERATE_SLOTS = 16 }; /* prompts under way at once */
typedef struct pm_prompt {
    const int32_t *ids;
    int n;
} pm_prompt;
typedef struct pm_gen_opts {
    int max_new;      /* tokens; <eos> ends earlier and is not part of the text */
    const char *stop; /* "" or NULL: none; the text ends before it */
} pm_gen_opts;

/* Called once a prompt, in the prompts' order, with the generated text. */
typedef pm_status (*pm_text_fn)(void *ctx, int index, const char *text, pm_err *e);
pm_status pm_generate(pm_session *s, const pm_prompt *p, int n, const pm_gen_opts *o, pm_text_fn fn,
                      void *ctx, pm_err *e);

/* The ids alone: out[i] receives up to max_new ids (the <eos> included when it came). */
void pm_generate_ids(pm_session *s, const pm_prompt *p, int n, int max_new, pm_ids *out);
#endif
