/* test_regress_runs.c - recorded runs whose numbers are known: which answers to which, exact numbers and who explains them, answers over seeds and
 * clusters, and baseline files that are damaged.
 */
#include "jsonio.h"
#include "outcomes.h"
#include "regress_recorded.h"
#include "text.h"

#include "check.h"
#include "scratch.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/peftmeter-regress-XXXXXX";

typedef struct plan {
    const char *method, *config, *data_hash, *commit, *status;
    int seed, dirty;
    int64_t flops, weights;
    double loss;
    const char *right; /* a letter an item, two items a cluster; NULL: not scored */
} plan;

#define ONE "{\"train.steps\":8,\"model\":\"a\",\"seed\":0}"
#define MORE "{\"train.steps\":8,\"model\":\"b\",\"seed\":0,\"train.new\":true}"
#define OTHER "{\"train.steps\":9,\"model\":\"a\",\"seed\":0}"
static const plan before[] = {
    {"lora", ONE, "h", "aaaa1", "ok", 0, 0, 100, 5, 2.5, "111111111111111111110000"},
    {"lora", ONE, "h", "aaaa1", "ok", 1, 0, 100, 5, 2.5, "111111111111111111110011"},
    {"svf", ONE, "h", "aaaa1", "ok", 0, 0, 70, 5, 2.5, "1010"},
    {"dora", ONE, "h", "aaaa1", "ok", 0, 0, 70, 5, 2.5, NULL},
    {"full", ONE, "h", "aaaa1", "ok", 0, 0, 70, 5, 2.5, "1010"},
};
static const plan after[] = {
    {"lora", MORE, "h", "bbbb2", "ok", 0, 0, 90, 5, 2.5,
     "000000000000000000000000"}, /* again below: that one counts */
    {"lora", MORE, "h", "bbbb2", "ok", 0, 0, 101, 5, 2.5, "000000000000000000000011"},
    {"lora", MORE, "h", "bbbb2", "ok", 1, 0, 100, 5, 2.25, "000000000000000000001111"},
    {"svf", OTHER, "h", "bbbb2", "ok", 0, 0, 70, 5, 2.5, "1010"},
    {"dora", ONE, "h", "bbbb2", "failed", 0, 1, 70, 5, 2.5, NULL},
    {"dora", ONE, "h", "bbbb2", "running", 0, 1, 70, 5, 2.5, NULL},
    {"full", ONE, "h", "bbbb2", "ok", 0, 0, 70, 5, 2.5, "1010"},
};

static void add_items(pm_db *d, int64_t id, const char *right) {
    pm_err e = {0};
    pm_outcome item[32];
    char name[32][16], about[32][16];
    int n = 0;
    for (; right[n]; n++) {
        snprintf(name[n], sizeof *name, "i%02d", n);
        snprintf(about[n], sizeof *about, "c%d", n / 2);
        item[n] = (pm_outcome){
            .example_id = name[n], .correct = right[n] - '0', .score = (double)NAN, .cluster = about[n]};
    }
    CHECK_OK(pm_outcomes_write(d, id, "test", item, n, &e));
    double mean = 0;
    for (int i = 0; i < n; i++) mean += (double)(right[i] - '0') / n;
    CHECK_OK(pm_db_metric(d, id, "test", "acc", 1, mean, 0.1, n, &e));
}

static void add(pm_db *d, const plan *p, int64_t host) {
    pm_err e = {0};
    int64_t id;
    pm_db_run r = {.model = "m",
                   .task = "t",
                   .method = p->method,
                   .config = p->config,
                   .model_hash = "mh",
                   .data_hash = p->data_hash,
                   .train_hash = "th",
                   .commit_id = p->commit,
                   .seed = p->seed,
                   .trainable_params = 3,
                   .host_id = host,
                   .dirty = p->dirty};
    CHECK_OK(pm_db_run_begin(d, &r, &id, &e));
    CHECK_OK(pm_db_step(d, id, 0, p->loss, 1, 1, 1, 1, 1, &e));
    CHECK_OK(pm_db_counter(d, id, "flops_forward", p->flops, &e));
    CHECK_OK(pm_db_counter(d, id, "tokens_timed", rand(), &e));
    CHECK_OK(pm_db_memory(d, id, "weights", p->weights, &e));
    if (p->right) add_items(d, id, p->right);
    if (strcmp(p->status, "running") != 0) CHECK_OK(pm_db_run_end(d, id, p->status, NULL, &e));
}

static const char *make_db(const char *name, const plan *p, size_t n, int threads) {
    const char *path = path_in(dir, name);
    pm_err e = {0};
    pm_db *d;
    int64_t host;
    unlink(path);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_OK(pm_db_host(d, "blas", "core", threads, &host, &e));
    for (size_t i = 0; i < n; i++) add(d, &p[i], host);
    pm_db_close(d);
    return path;
}
enum { N_BEFORE = sizeof before / sizeof *before, N_AFTER = sizeof after / sizeof *after };

typedef struct scene {
    pm_run_set base, head;
    pm_pairing pairs;
    pm_regress g;
} scene;

static void open_scene(scene *s, int threads) {
    pm_err e = {0};
    const char *base = make_db("base.db", before, N_BEFORE, 1),
               *head = make_db("head.db", after, N_AFTER, threads);
    s->g = pm_regress_new("");
    CHECK_OK(pm_run_set_open(base, "none.db", NULL, &s->base, &e));
    CHECK_OK(pm_run_set_open("bbbb", head, NULL, &s->head, &e));
    s->pairs = pm_pair_runs(&s->base, &s->head, s->g.keep);
}

static void close_scene(scene *s) {
    pm_run_set_close(&s->base);
    pm_run_set_close(&s->head);
    pm_regress_free(&s->g);
}

static const pm_case *find(const pm_regress *g, const char *tier, const char *name, const char *metric) {
    for (int i = 0; i < g->n_cases; i++)
        if (!strcmp(g->cases[i].tier, tier) && !strcmp(g->cases[i].name, name) &&
            !strcmp(g->cases[i].metric, metric))
            return &g->cases[i];
    CHECK_FAIL_("there is no case %s, %s, %s", tier, name, metric);
    static const pm_case none = {.verdict = -1, .text = ""};
    return &none;
}
#define VERDICT(tier, name, metric, want) CHECK_EQ_INT(find(&s.g, tier, name, metric)->verdict, want)

/* ---- which answers to which ---- */

static void runs_answer_by_what_decides_their_numbers(void) {
    scene s;
    open_scene(&s, 1);
    CHECK_EQ_INT(s.base.n, 5);
    CHECK_EQ_INT(s.head.n, 5); /* one lora twice, one run that goes on */
    CHECK_EQ_INT(s.head.n_dirty, 1);
    CHECK_EQ_INT(s.pairs.n, 4);
    CHECK_EQ_INT(s.pairs.n_only_base, 1);
    CHECK_EQ_INT(s.pairs.n_only_head, 1);
    CHECK_EQ_STR(s.pairs.pair[2].head->name, "lora seed 0");
    CHECK_EQ_INT(s.pairs.pair[2].head->id, 2);
    const char *why = pm_why_alone(s.pairs.only_base[0], &s.head, s.g.keep);
    CHECK_EQ_STR(why, "svf seed 0: train.steps is 8 and 9");
    close_scene(&s);
}

static void refs_name_sets(void) {
    static const struct {
        const char *ref;
        pm_status want;
        int n;
        const char *says;
    } of[] = {{"bbbb2", PM_OK, 5, ""},  {"2-3", PM_OK, 2, ""},           {"1,3-4", PM_OK, 3, ""},
              {"99", PM_EUSAGE, 0, ""}, {"cccc", PM_EUSAGE, 0, "bbbb2"}, {"bbb", PM_EUSAGE, 0, "bbbb2"},
              {"", PM_OK, 5, ""},       {"--all", PM_EUSAGE, 0, "bbbb2"}};
    const char *db = make_db("head.db", after, N_AFTER, 1);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        pm_run_set set;
        pm_err e = {0};
        CHECK_EQ_INT(pm_run_set_open(of[i].ref, db, NULL, &set, &e), of[i].want);
        if (of[i].want == PM_OK) CHECK_EQ_INT(set.n, of[i].n);
        CHECK(strstr(e.hint, of[i].says));
        pm_run_set_close(&set);
    }
}

/* ---- exact numbers ---- */

static void exact_numbers_are_equal_or_not(void) {
    scene s;
    open_scene(&s, 1);
    pm_regress_counters(&s.g, &(pm_counters_input){&s.base, &s.head, &s.pairs, NULL, false});
    VERDICT("counters", "lora seed 0", "flops_forward", PM_CASE_WORSE);
    VERDICT("counters", "lora seed 0", "memory_weights", PM_CASE_SAME);
    VERDICT("counters", "lora seed 0", "trainable_params", PM_CASE_SAME);
    VERDICT("counters", "lora seed 1", "flops_forward", PM_CASE_SAME);
    VERDICT("counters", "lora seed 1", "bits", PM_CASE_WORSE);
    VERDICT("counters", "dora seed 0", "status", PM_CASE_WORSE);
    VERDICT("counters", "svf seed 0", "run", PM_CASE_UNDECIDED);
    for (int i = 0; i < s.g.n_cases; i++) CHECK(strcmp(s.g.cases[i].metric, "tokens_timed") != 0);
    close_scene(&s);
}

static void what_belongs_to_a_machine_is_compared_there_alone(void) {
    scene s;
    open_scene(&s, 2);
    pm_regress_counters(&s.g, &(pm_counters_input){&s.base, &s.head, &s.pairs, NULL, true});
    VERDICT("counters", "lora seed 0", "flops_forward", PM_CASE_WORSE);
    VERDICT("counters", "lora seed 0", "memory_weights", PM_CASE_UNDECIDED);
    VERDICT("counters", "lora seed 1", "bits", PM_CASE_UNDECIDED);
    CHECK(find(&s.g, "counters", "svf seed 0", "run")->verdict == PM_CASE_WORSE); /* strict */
    close_scene(&s);
}

/* ---- answers ---- */

/* Clusters of two items over two seeds: ten lose 2 + 2, two win 2 in one seed each; McNemar by items would see 40 lost of 48. */
static void answers_are_tested_over_seeds_and_clusters(void) {
    const double sums[] = {-4, -4, -4, -4, -4, -4, -4, -4, -4, -4, 2, 2};
    scene s;
    pm_err e = {0};
    open_scene(&s, 1);
    CHECK_OK(pm_regress_quality(&s.g, &s.base, &s.head, &s.pairs, &e));
    const pm_case *c = find(&s.g, "quality", "lora", "acc");
    CHECK_REL(c->p, pm_sign_flip(sums, 12, 0), 1e-12);
    CHECK_NEAR(c->effect, -75, 1e-9);
    CHECK_EQ_INT(c->verdict, PM_CASE_WORSE);
    CHECK_EQ_INT(find(&s.g, "quality", "full", "acc")->verdict,
                 PM_CASE_SAME); /* nothing changed: no part of the family */
    CHECK(strstr(c->text, "of 48 items lost 40 and won 4"));
    close_scene(&s);
}

/* ---- reviewed numbers ---- */

static void reviewed_numbers_explain(void) {
    const char *file = path_in(dir, "reviewed.json"), *db = make_db("base.db", before, N_BEFORE, 1);
    pm_run_set set;
    pm_baseline b;
    pm_err e = {0};
    int n;
    CHECK_OK(pm_run_set_open(db, db, NULL, &set, &e));
    CHECK_OK(pm_baseline_read(file, true, &b, &e));
    CHECK_OK(pm_baseline_accept(&b, &set, file, "first \"words\"", &n, &e));
    pm_baseline_free(&b);
    CHECK_OK(pm_baseline_read(file, false, &b, &e));
    CHECK_EQ_INT(b.set.n, set.n);
    for (int i = 0; i < set.n; i++) CHECK_EQ_STR(b.set.run[i].bits, set.run[i].bits);
    CHECK_OK(pm_baseline_accept(&b, &set, file, "again", &n, &e)); /* nothing to say */
    CHECK_EQ_INT(n, 0);
    for (int k = 0; k < set.run[2].n_facts; k++)
        if (!strcmp(set.run[2].fact[k].name, "flops_forward")) set.run[2].fact[k].value = 77;
    CHECK_OK(pm_baseline_accept(&b, &set, file, "second", &n, &e));
    CHECK_EQ_INT(n, 1);
    pm_baseline_free(&b);
    CHECK_OK(pm_baseline_read(file, false, &b, &e));
    CHECK_EQ_STR(pm_baseline_reason(&b, &set.run[2], "flops_forward", "77"), "second");
    CHECK_EQ_STR(pm_baseline_reason(&b, &set.run[3], "flops_forward", "100"), "first \"words\"");
    CHECK(pm_baseline_reason(&b, &set.run[2], "flops_forward", "78") == NULL);
    CHECK_EQ_INT(cJSON_GetArraySize(cJSON_GetObjectItem(b.json, "changes")), 2);
    pm_baseline_free(&b);
    pm_run_set_close(&set);
}

static void damaged_files_are_refused(void) {
    static const char run[] = "{\"label\":\"l\",\"method\":\"m\",\"settings\":{},\"counters\":%s}";
    static const char *const counters[] = {"{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "{\"a\":1.5}",
                                           "{\"a\":1e300}", "{\"a\":\"1\"}"};
    static const char *const whole[] = {
        "", "[]", "{}", "{\"runs\":[]}", "{\"runs\":[1],\"changes\":[]}", "{\"runs\":[{}],\"changes\":{}}"};
    const char *file = path_in(dir, "damaged.json");
    for (int i = 0; i < 11; i++) {
        pm_buf b = {0};
        pm_err e = {0};
        pm_baseline x;
        if (i < 5) {
            pm_buf_puts(&b, "{\"changes\":[],\"runs\":[");
            pm_buf_printf(&b, run, counters[i]);
            pm_buf_puts(&b, "]}");
        } else
            pm_buf_puts(&b, whole[i - 5]);
        FILE *f = fopen(file, "w");
        CHECK(f && fputs(b.p ? b.p : "", f) >= 0 && fclose(f) == 0);
        CHECK_EQ_INT(pm_baseline_read(file, true, &x, &e), PM_EFORMAT);
        pm_baseline_free(&x);
        pm_buf_free(&b);
    }
}

int main(void) {
    CHECK(mkdtemp(dir) != NULL);
    RUN(runs_answer_by_what_decides_their_numbers);
    RUN(refs_name_sets);
    RUN(exact_numbers_are_equal_or_not);
    RUN(what_belongs_to_a_machine_is_compared_there_alone);
    RUN(answers_are_tested_over_seeds_and_clusters);
    RUN(reviewed_numbers_explain);
    RUN(damaged_files_are_refused);
    static const char *const made[] = {"base.db",     "base.db-wal", "base.db-shm",   "head.db",
                                       "head.db-wal", "head.db-shm", "reviewed.json", "damaged.json"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(path_in(dir, made[i]));
    rmdir(dir);
    return check_done();
}
