/* tape.h - tensors and the define-by-run tape.
 *
 * An op is a prototype in ops.h and one forward/backward pair in an op_*.c. It allocates its output with pm_out, and, when an
 * input needs a gradient, records a node whose `bwd` adds into the inputs' gradients (always +=, through pm_grad).
 *
 * Memory: activations live in the step arena. An op that reads a tensor's data in its backward pass calls pm_keep on it.
 * pm_drop says "the forward pass is done with this tensor": its data is recycled at once unless kept. A kept tensor whose node
 * has `fwd` (a cheap op: norms, SiLU-gate, dropout) is recycled too, and pm_data recomputes it when the backward pass asks.
 * During the backward pass a tensor's data and gradient are recycled as soon as its producer has run.
 * An in-place op (name ends in _) returns its first tensor, whose data it changed: that tensor must not have been kept.
 */
#ifndef PM_TAPE_H
#define PM_TAPE_H
#include "arena.h"
#include "gemm.h"

/* A named weight or adapter tensor. w, grad, m, v: [rows, cols]. */
typedef struct pm_param {
    const char *name; /* Hugging Face's: model.layers.0.self_attn.q_proj.weight */
    int64_t rows, cols;
    real *w;
    real *grad, *m, *v; /* NULL while frozen */
    real *stored; /* [rows, cols]: what files hold, when that is not what is trained (LoReFT's R); NULL: w */
    pm_packed *packed; /* frozen projections: prepared for the backend; else NULL */
    bool trainable;
    bool vector;      /* one-dimensional on disk: [cols] (gains, biases); rows is 1 */
    bool no_decay;    /* weight decay never reaches it (LoReFT's R) */
    bool orthonormal; /* the rows that files hold are: another matrix is refused on loading (LoReFT's R) */
} pm_param;
real *pm_param_stored(const pm_param *p); /* what files hold of it */

/* The ragged batch: sequence s is rows start[s] .. start[s]+len[s]-1 of every [N, C] tensor. No padding anywhere.
 * A sequence with parent >= 0 continues that (earlier) sequence: it attends to all rows of parent (and its parents), then to its own
 * rows causally. pos0 is the position id of its first row. prompt_len counts prompt rows from position 0, parents included. */
typedef struct pm_seqs {
    int n;
    int64_t n_tokens;                                        /* N */
    const int32_t *start, *len, *pos0, *parent, *prompt_len; /* [n]; parent may be NULL: none has one */
} pm_seqs;

/* Keys and values of tokens already processed, for generation. Slot s of layer l: rows [s*cap, s*cap + len[s]) of k[l], v[l]. */
typedef struct pm_kvcache {
    int n_layers, n_slots, cap; /* cap: tokens a slot */
    int64_t width;              /* n_kv_heads * head_dim */
    int32_t *len;               /* [n_slots] tokens stored; advanced by pm_kvcache_advance */
    real **k, **v;              /* [n_layers] pointers to [n_slots * cap, width] */
} pm_kvcache;
pm_kvcache *pm_kvcache_new(pm_arena *a, int n_layers, int n_slots, int cap, int64_t width);
void pm_kvcache_advance(
    pm_kvcache *c, const pm_seqs *seqs,
    const int32_t *slot); /* the batch's rows are stored in every layer: len += seqs->len */

struct pm_node;
typedef struct pm_tensor {
    int64_t rows, cols;
    real *data;                      /* [rows, cols]; NULL once dropped */
    real *grad;                      /* the same; NULL until something flows in */
    bool needs_grad, kept, borrowed; /* borrowed: data belongs to a parameter or the caller, never recycled */
    struct pm_node *node;            /* what made it; NULL for leaves and constants */
} pm_tensor;

typedef struct pm_tape pm_tape;
typedef struct pm_node {
    void (*bwd)(pm_tape *t, struct pm_node *n);
    void (*fwd)(pm_tape *t,
                struct pm_node *n); /* refills out->data from the inputs; NULL: out is never recomputed */
    bool inplace;                   /* out existed before this node */
    pm_tensor *out, *in[4];
    struct pm_node *prev;
} pm_node;

struct pm_site;
struct pm_hooks;
struct pm_tape {
    pm_arena *arena; /* step lifetime */
    pm_node *last;
    bool record;                  /* false: no gradients wanted (evaluation) */
    bool train;                   /* dropout is active */
    uint64_t seed, step;          /* of dropout streams */
    const pm_seqs *seqs;          /* of the batch being processed */
    pm_kvcache *cache;            /* generation: attention appends to it and reads from it; else NULL */
    const int32_t *slot;          /* [seqs->n] cache slot of each sequence, when cache is set */
    const struct pm_hooks *hooks; /* the method at work; NULL: the plain model */
    real *rope; /* [N, D] cosines then sines of this batch's positions, made once a step (op_rope.c) */
    const double *rope_freq; /* the frequencies it was made for */
};

void pm_tape_init(pm_tape *t, pm_arena *step); /* the caller owns t; the arena is the tape's alone */
void pm_tape_reset(pm_tape *t); /* forgets all nodes and tensors, resets the arena; settings are kept */
/* Seeds d loss = 1 and runs every node in reverse. loss is [1,1]. Parameter gradients are accumulated into pm_param.grad. */
void pm_backward(pm_tape *t, pm_tensor *loss);

pm_tensor *pm_leaf(pm_tape *t, pm_param *p);     /* [rows, cols] of the parameter */
pm_tensor *pm_leaf_row(pm_tape *t, pm_param *p); /* the same numbers as one row: [1, rows cols] */
pm_tensor *pm_const(pm_tape *t, const real *data, int64_t rows, int64_t cols); /* borrowed, no gradient */
pm_tensor *pm_input(pm_tape *t, const real *data, int64_t rows,
                    int64_t cols); /* copied, gradient wanted (tests) */
void pm_drop(pm_tape *t, pm_tensor *x);

/* For op authors. */
pm_tensor *pm_out(pm_tape *t, int64_t rows, int64_t cols); /* a fresh tensor with data, uninitialised */
bool pm_wants_grad(const pm_tape *t, const pm_tensor *x);  /* x may be NULL */
void pm_mutate(pm_tensor *y); /* an in-place op is about to change y: asserts that nobody kept it */
/* A zeroed node of `size` bytes (a struct that starts with pm_node), linked in; marks out as needing a gradient. */
void *pm_record(pm_tape *t, size_t size, pm_tensor *out, void (*bwd)(pm_tape *, pm_node *));
void pm_keep(pm_tensor *x);
const real *pm_data(pm_tape *t, pm_tensor *x); /* recomputes when dropped */
/* x's gradient buffer and, in *beta, whether a product may overwrite it (0, first contribution) or must add (1).
 * With beta NULL the buffer is zeroed on first use, so that plain += is right. */
real *pm_grad(pm_tape *t, pm_tensor *x, real *beta);
void *pm_scratch(pm_tape *t, size_t bytes); /* until pm_scratch_done with the same size */
void pm_scratch_done(pm_tape *t, void *p, size_t bytes);
#endif
