/* certificate.h - what is checked of every run's adapter, on the model and the data it was trained with; the rows of `checks`.
 *
 * A table of results is worth what its runs are worth: an adapter that was saved without half of its settings, a tensor that no gradient
 * ever reached or a base weight that moved gives a number that looks like any other. The conformance test proves the methods on a tiny
 * model; the certificate proves this run. A check that could not be measured leaves no row.
 *
 *   count         trainable numbers equal the method's closed form
 *   identity      before the first step the logits equal the base model's (claimed), or
 *   not_identity  they do not (not claimed)
 *   frozen        how many base tensors that nobody trains have other bits after training
 *   save_load     saved, its settings read back, attached anew and loaded: the same tensors, and (*) the same logits
 *   merged        folded into the weights: (*) the same logits
 *   prompt_only   without a prompt the base model's logits, and no answer token's row is touched
 *   acts          with a prompt, other logits than the base model's
 *   moves         how many trainable tensors that matter kept their bits or never had a gradient; all, when none moved
 *   saved         (a method that trains the base) how many tensors of --adapter-out differ from the trained ones
 *
 * Logits are compared on a few training rows; a difference is the largest one, as a part of the largest logit. (*) Of the model cut
 * after its first layers, as many as fit into the memory that training has given back.
 */
#ifndef PM_CERTIFICATE_H
#define PM_CERTIFICATE_H
#include "session.h"

typedef struct pm_check {
    const char *name;
    bool ok;
    double value, bound; /* ok is value <= bound (not_identity, acts: value > bound); NAN: not measured */
    char why[240];       /* of a failure */
} pm_check;
enum { PM_CHECKS_MAX = 12, PM_PROBE_TOKENS = 48 };

typedef struct pm_certificate {
    pm_session *s;
    const void *mcfg; /* the method's settings */
    pm_batch probe;
    bool labelled[PM_PROBE_TOKENS]; /* rows that training scores */
    bool has_prompts;               /* of at least two tokens: a method that acts on prompts can act */
    uint64_t *trainable, *frozen;   /* checksums at the start, by parameter */
    pm_check check[PM_CHECKS_MAX];
    int n;
} pm_certificate;

/* Before the first step: count, identity; remembers what moves and frozen compare with. train NULL: nothing will be trained, count alone.
 * starts_itself: the method's own start, not --adapter-in's. s must have a method. PM_EUSAGE when the method acts on prompts and no
 * row has one; PM_EIO when there is no place for the files that save_load writes. The caller frees k with pm_certificate_free. */
pm_status pm_certificate_begin(pm_certificate *k, pm_session *s, const void *mcfg, const pm_split *train,
                               bool starts_itself, pm_err *e);
/* After the last step: everything else. steps: those with a learning rate above 0. The session is as before, its tape reset. PM_EIO when those
 * files cannot be written. */
pm_status pm_certificate_end(pm_certificate *k, int steps, pm_err *e);
/* After the trained model was saved in dir: `saved`, when the method trains the base. */
pm_status pm_certificate_saved(pm_certificate *k, const char *dir, pm_err *e);
/* PM_ECHECK with the first failed check's name, value and bound; PM_OK when all hold. */
pm_status pm_certificate_verdict(const pm_certificate *k, pm_err *e);
void pm_certificate_free(pm_certificate *k); /* a zeroed one is fine */
#endif
