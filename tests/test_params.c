/* test_params.c - published trainable counts, each reproduced from shapes and settings by the function behind `params`.
 *
 * One row a published figure: the exact count where one is known, and the figure as printed, compared at its own precision with its own
 * denominator. Left out:
 * - RoBERTa with LoRA, printed as .239 % (base) and .225 % (large): r 8 on query and value gives .2366 and .2213 of the base, and no other
 *   denominator tried gives the printed ones;
 * - Transformer^2's .58M for SVF on MLP and query, value: the shapes give 557,056;
 * - VeRA, BitFit, norm tuning, adapters, prefix and prompt tuning, AdaLoRA, OFT, RED: methods that are not here.
 */
#include "check.h"
#include "counts.h"
#include "model.h"

/* What a figure is a part of. */
enum { OF_BASE, OF_TOTAL, MILLIONS };

#define QV "q_proj,v_proj"
#define QKVUD "q_proj,k_proj,v_proj,up_proj,down_proj"
#define MLP "gate_proj,up_proj,down_proj"

typedef struct published {
    const char *model, *method;
    const char *settings; /* "rank=8 targets=q_proj" */
    int64_t count;        /* 0: no exact count is known */
    const char *figure;   /* as printed, with its leading zero; NULL: only the count */
    int per;
    const char *source;
} published;

static const published rows[] = {
    /* full */
    {"llama-3.2-3b", "full", "", 3212749824, NULL, 0, "peft method_comparison"},
    {"roberta-base", "full", "", 124645632, "125", MILLIONS, "LoRA, Table 2"},
    {"roberta-large", "full", "", 355359744, "355", MILLIONS, "LoRA, Table 2"},
    {"roberta-large", "full", "", 0, "100", OF_TOTAL, "ReFT, GLUE"},
    /* lora */
    {"llama-7b", "lora", "rank=32 targets=" QKVUD, 56098816, "0.826", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-13b", "lora", "rank=32 targets=" QKVUD, 0, "0.670", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-3-8b", "lora", "rank=32 targets=" QKVUD, 0, "0.700", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-2-7b", "lora", "rank=16 targets=" QV, 8388608, "0.1245", OF_BASE, "ReFT, instruction tuning"},
    {"roberta-base", "lora", "rank=8 targets=" QV, 294912, "0.3", MILLIONS, "LoRA, Table 2"},
    {"roberta-large", "lora", "rank=8 targets=" QV, 786432, "0.8", MILLIONS, "LoRA, Table 2"},
    {"vit-b-16", "lora", "rank=8 targets=o_proj", 147456, "0.172", OF_BASE, "GIFT, FGVC table"},
    {"llama-3-8b", "lora", "rank=16 targets=" QV, 6815744, "6.82", MILLIONS, "Transformer^2, Table 4"},
    {"llama-3-8b", "lora", "rank=16 targets=" QV "," MLP, 35127296, "35.13", MILLIONS,
     "Transformer^2, Table 4"},
    {"mistral-7b", "lora", "rank=32 targets=" QKVUD, 56623104, NULL, 0, "from its shapes"},
    {"llama-3.2-3b", "lora", "rank=32 targets=" QV, 9175040, NULL, 0, "peft method_comparison"},
    {"llama-3.2-3b", "lora", "rank=64 targets=" QV, 18350080, NULL, 0,
     "peft method_comparison, with rsLoRA too"},
    {"llama-3.2-3b", "lora", "rank=10 targets=" MLP, 9461760, NULL, 0, "peft method_comparison"},
    /* dora; half: r 16 */
    {"llama-7b", "dora", "rank=32 targets=" QKVUD, 56975360, "0.838", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-7b", "dora", "rank=16 targets=" QKVUD, 0, "0.427", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-13b", "dora", "rank=32 targets=" QKVUD, 0, "0.681", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-13b", "dora", "rank=16 targets=" QKVUD, 0, "0.347", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-3-8b", "dora", "rank=32 targets=" QKVUD, 0, "0.710", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-3-8b", "dora", "rank=16 targets=" QKVUD, 0, "0.361", OF_TOTAL, "ReFT, commonsense table"},
    {"llama-3.2-3b", "dora", "rank=32 targets=" QV, 9289728, NULL, 0, "peft method_comparison"},
    /* svf: min(in, out) a matrix, whatever the form */
    {"llama-3-8b", "svf", "targets=" MLP, 393216, "0.39", MILLIONS, "Transformer^2, Table 4"},
    {"llama-3-8b", "svf", "targets=" QV, 163840, "0.16", MILLIONS, "Transformer^2, Table 4"},
    {"llama-3-8b", "svf", "targets=" QV " form=release", 163840, "0.16", MILLIONS, "Transformer^2, Table 4"},
    {"mistral-7b", "svf", "targets=" MLP, 393216, NULL, 0, "from its shapes"},
    /* wegeft, shared per projection type */
    {"llama-7b", "wegeft", "rank=64 targets=" QV, 1048576, "0.016", OF_BASE, "GIFT, commonsense table"},
    {"llama-7b", "wegeft", "rank=128 targets=o_proj", 1048576, "0.016", OF_BASE, "GIFT, commonsense table"},
    {"llama-7b", "wegeft", "rank=64 targets=" QKVUD, 3506176, "0.052", OF_BASE, "GIFT, commonsense table"},
    {"llama-3-8b", "wegeft", "rank=64 targets=" QV, 0, "0.013", OF_BASE, "GIFT, commonsense table"},
    {"llama-3-8b", "wegeft", "rank=64 targets=" QKVUD, 0, "0.049", OF_BASE, "GIFT, commonsense table"},
    {"llama-2-7b", "wegeft", "rank=64 targets=all", 4554752, NULL, 0, "from its shapes"},
    {"llama-2-7b", "wegeft", "rank=16 targets=" QV, 0, "0.0039", OF_BASE, "GIFT, instruction tuning"},
    {"llama-2-7b", "wegeft", "rank=128 targets=" QV, 0, "0.0311", OF_BASE, "GIFT, instruction tuning"},
    {"roberta-base", "wegeft", "rank=32 targets=" QV, 0, "0.07887", OF_BASE, "GIFT, GLUE"},
    {"roberta-large", "wegeft", "rank=32 targets=" QV, 0, "0.03688", OF_BASE, "GIFT, GLUE"},
    {"vit-b-16", "wegeft", "rank=16 targets=o_proj", 24576, "0.029", OF_BASE, "GIFT, FGVC table"},
    /* loreft and direft: at every layer, tied; instruction tuning at four, untied. GLUE: prefix positions only */
    {"llama-7b", "loreft", "rank=8", 2097408, "0.031", OF_BASE, "ReFT, commonsense table"},
    {"llama-13b", "loreft", "rank=8", 3277120, "0.025", OF_BASE, "ReFT, commonsense table"},
    {"llama-3-8b", "loreft", "rank=8", 0, "0.026", OF_BASE, "ReFT, commonsense table"},
    {"llama-2-7b", "loreft", "rank=4 layers=3,9,18,24 tied=false", 262176, "0.0039", OF_BASE,
     "ReFT, instruction tuning"},
    {"llama-2-7b", "loreft", "rank=2 layers=3,9,18,24 tied=false", 0, "0.0019", OF_BASE,
     "ReFT, instruction tuning, half"},
    {"roberta-base", "loreft", "rank=1 suffix=0", 18444, "0.015", OF_BASE, "ReFT, GLUE"},
    {"roberta-large", "loreft", "rank=1 suffix=0", 49176, "0.014", OF_BASE, "ReFT, GLUE"},
    {"llama-7b", "direft", "rank=8", 2097408, "0.031", OF_BASE, "ReFT, commonsense table"},
    {"llama-13b", "direft", "rank=8", 3277120, "0.025", OF_BASE, "ReFT, commonsense table"},
    {"llama-3-8b", "direft", "rank=8", 0, "0.026", OF_BASE, "ReFT, commonsense table"},
    {"llama-2-7b", "direft", "rank=4 layers=3,9,18,24 tied=false", 262176, "0.0039", OF_BASE,
     "ReFT, instruction tuning"},
    {"roberta-base", "direft", "rank=1 suffix=0", 18444, "0.015", OF_BASE, "ReFT, GLUE"},
    {"roberta-large", "direft", "rank=1 suffix=0", 49176, "0.014", OF_BASE, "ReFT, GLUE"},
    /* ia3 */
    {"llama-3.2-3b", "ia3", "", 286720, NULL, 0, "peft method_comparison"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static pm_err e;

/* The settings of a row; the caller frees. */
static pm_config *config_of(const published *p) {
    pm_config *c = pm_config_new();
    CHECK_OK(pm_config_set(c, "method", p->method, &e));
    for (const char *at = p->settings; *at; at += strspn(at, " ")) {
        char pair[600];
        int n = (int)strcspn(at, " ");
        snprintf(pair, sizeof pair, "method.%.*s", n, at);
        CHECK_OK(pm_config_set_pair(c, pair, &e));
        at += n;
    }
    return c;
}

/* The computed value with as many decimals as the printed one has. */
static void as_printed(const published *p, const pm_counts *n, char out[64]) {
    const double value[] = {n->percent_of_base, n->percent_of_total, (double)n->trainable / 1e6};
    const char *dot = strchr(p->figure, '.');
    snprintf(out, 64, "%.*f", dot ? (int)strlen(dot + 1) : 0, value[p->per]);
}

static void check_row(const published *p) {
    pm_shape s;
    pm_counts n = {0};
    char got[64] = "";
    int before = check_bad_;
    pm_config *c = config_of(p);
    CHECK_OK(pm_shape_open(p->model, &s, &e));
    CHECK_OK(pm_counts_of(&s, c, &n, &e));
    if (p->count) CHECK_EQ_INT(n.trainable, p->count);
    if (p->figure) {
        as_printed(p, &n, got);
        CHECK_EQ_STR(got, p->figure);
    }
    if (check_bad_ != before)
        fprintf(stderr, "  that was %s, %s %s (%s)\n", p->model, p->method, p->settings, p->source);
    pm_config_free(c);
}

static void params_reproduces_published_counts(void) {
    for (int i = 0; i < N_ROWS; i++) check_row(&rows[i]);
}

/* What each projection adds is the whole. */
static void params_by_projection_adds_up(void) {
    for (int i = 0; i < N_ROWS; i++) {
        int64_t kinds[PM_SITE_N_LINEAR], sum = 0;
        pm_shape s;
        pm_counts n = {0};
        pm_config *c = config_of(&rows[i]);
        CHECK_OK(pm_shape_open(rows[i].model, &s, &e));
        CHECK_OK(pm_counts_of(&s, c, &n, &e));
        bool has = pm_counts_by_kind(&s, c, kinds);
        CHECK_EQ_INT(has, pm_field_find(c->m->fields, "targets") != NULL);
        for (int k = 0; has && k < PM_SITE_N_LINEAR; k++) sum += kinds[k];
        if (has) CHECK_EQ_INT(sum, n.trainable);
        pm_config_free(c);
    }
}

/* Totals as transformers counts the same configurations. */
static void params_knows_the_models(void) {
    static const struct {
        const char *name;
        int64_t base;
    } want[] = {{"llama-7b", 6738415616},   {"llama-13b", 13015864320},   {"llama-2-7b", 6738415616},
                {"llama-3-8b", 8030261248}, {"llama-3.2-1b", 1235814400}, {"llama-3.2-3b", 3212749824},
                {"mistral-7b", 7241732096}, {"roberta-base", 124645632},  {"roberta-large", 355359744},
                {"vit-b-16", 85798656},     {"smollm2-135m", 134515008}};
    int n = 0;
    while (pm_presets[n].name) n++;
    CHECK_EQ_INT(n, sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        pm_shape s = {0};
        CHECK_OK(pm_shape_open(want[i].name, &s, &e));
        CHECK_EQ_INT(s.base, want[i].base);
    }
}

/* A directory, its config.json and a GGUF: the skeleton's own count. */
static void params_reads_dimensions(void) {
    static const char *const paths[] = {"tests/golden/models/llama_tied", "tests/golden/models/qwen2",
                                        "tests/golden/models/llama_untied/config.json",
                                        "tests/golden/formats/qwen2_tied.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        pm_shape s = {0};
        pm_arena *a = pm_arena_new("base", 1 << 24);
        CHECK_OK(pm_shape_open(paths[i], &s, &e));
        CHECK_EQ_INT(s.base, pm_model_count(pm_model_new(a, &s.cfg)));
        pm_arena_free(a);
    }
}

static void params_refuses(void) {
    static const struct {
        const char *model, *hint;
    } bad[] = {
        {"lama-7b", "llama-7b"},         {"roberta-bas", "roberta-base"},
        {"xyzzy", "params --help"},      {"no/such/folder", "folder"},
        {"no-such.gguf", ".gguf"},       {"no-such.json", "path"},
        {"tests/golden", "config.json"}, {"tests/golden/train/adapters/all/adapter_config.json", "damaged"}};
    pm_shape s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(pm_shape_open(bad[i].model, &s, &e) != PM_OK);
        if (!strstr(e.hint, bad[i].hint)) CHECK_FAIL_("%s | %s", e.msg, e.hint);
    }
}

/* An encoder has no gate: `all` leaves it out, alone it trains nothing. */
static int64_t on_vit(const char *targets, pm_status want) {
    pm_shape s;
    pm_counts n = {0};
    pm_config *c = pm_config_new();
    CHECK_OK(pm_shape_open("vit-b-16", &s, &e));
    CHECK_OK(pm_config_set(c, "method", "lora", &e));
    CHECK_OK(pm_config_set(c, "method.targets", targets, &e));
    CHECK_EQ_INT(pm_counts_of(&s, c, &n, &e), want);
    pm_config_free(c);
    return n.trainable;
}

static void params_knows_that_encoders_have_no_gate(void) {
    CHECK_EQ_INT(on_vit("all", PM_OK), on_vit("q_proj,k_proj,v_proj,o_proj,up_proj,down_proj", PM_OK));
    on_vit("gate_proj", PM_EUSAGE);
    CHECK(strstr(e.hint, "gate_proj"));
    on_vit("query", PM_EUSAGE);
    CHECK(strstr(e.msg, "query"));
}

int main(void) {
    RUN(params_reproduces_published_counts);
    RUN(params_by_projection_adds_up);
    RUN(params_knows_the_models);
    RUN(params_reads_dimensions);
    RUN(params_refuses);
    RUN(params_knows_that_encoders_have_no_gate);
    return check_done();
}
