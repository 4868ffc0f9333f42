/* test_base.c - errors, arena, random numbers and SHA-256. */
#include "arena.h"
#include "check.h"
#include "rng.h"
#include "sha256.h"
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- errors ---- */

static void err_keeps_message_and_hint(void) {
    pm_err e = {.hint = "stale"};
    CHECK_EQ_INT(pm_fail(&e, PM_EIO, "open %s: %s", "x.json", "gone"), PM_EIO);
    CHECK_EQ_STR(e.msg, "open x.json: gone");
    CHECK_EQ_STR(e.hint, "");
    CHECK_EQ_INT(pm_hint(&e, "see --%s", "task"), PM_EIO);
    CHECK_EQ_STR(e.hint, "see --task");
    CHECK_EQ_STR(e.msg, "open x.json: gone");
    CHECK_EQ_INT(pm_fail(NULL, PM_EDB, "dropped"), PM_EDB);
}

static void err_cuts_long_messages(void) {
    pm_err e = {0};
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pm_fail(&e, PM_EFORMAT, "%s", text);
    pm_hint(&e, "%s", text);
    CHECK_EQ_INT(strlen(e.msg), sizeof e.msg - 1);
    CHECK_EQ_INT(strlen(e.hint), sizeof e.hint - 1);
}

/* Runs fn in a child with stderr caught in `text`; returns the signal that ended it (0: it returned). */
static int dies_with(void (*fn)(void), char *text, size_t cap) {
    int fd[2];
    if (pipe(fd) != 0) return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(fd[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < cap && (got = read(fd[0], text + n, cap - 1 - n)) > 0;) n += (size_t)got;
    text[n] = '\0';
    close(fd[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void broken_invariant(void) {
    PM_ASSERT(1 + 1 == 3, "shapes %d x %d", 4, 5);
}

static void bug_aborts_with_place_and_message(void) {
    char text[512];
    CHECK_EQ_INT(dies_with(broken_invariant, text, sizeof text), SIGABRT);
    CHECK(strstr(text, "test_base.c:") && strstr(text, "1 + 1 == 3") && strstr(text, "shapes 4 x 5"));
}

static void clock_moves_forward(void) {
    double before = pm_now_s();
    usleep(2000);
    double after = pm_now_s();
    CHECK(after - before >= 0.002 && after - before < 5);
}

/* ---- arena ---- */

static void arena_aligns_and_separates(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    unsigned char *p[64];
    for (size_t i = 0; i < 64; i++) {
        p[i] = pm_arena_alloc(a, i, PM_MEM_WEIGHTS);
        CHECK_EQ_INT((uintptr_t)p[i] % 64, 0);
        memset(p[i], (int)i, i);
    }
    for (size_t i = 0; i < 64; i++)
        for (size_t j = 0; j < i; j++) CHECK_EQ_INT(p[i][j], i);
    pm_arena_free(a);
    pm_arena_free(NULL);
}

static void arena_counts_live_and_peak(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    void *w = pm_arena_alloc(a, 1000, PM_MEM_WEIGHTS);
    void *x = pm_arena_alloc(a, 300, PM_MEM_ACTIVATIONS);
    pm_arena_recycle(a, x, 300, PM_MEM_ACTIVATIONS);
    pm_arena_alloc(a, 100, PM_MEM_GRADIENTS);
    CHECK_EQ_INT(pm_arena_live(a, PM_MEM_WEIGHTS), 1000);
    CHECK_EQ_INT(pm_arena_live(a, PM_MEM_ACTIVATIONS), 0);
    CHECK_EQ_INT(pm_arena_peak(a, PM_MEM_ACTIVATIONS), 300);
    CHECK_EQ_INT(pm_arena_peak_total(a), 1300); /* not 1400: the 300 were gone when the 100 came */
    pm_arena_recycle(a, w, 1000, PM_MEM_WEIGHTS);
    pm_arena_peak_clear(a);
    CHECK_EQ_INT(pm_arena_peak(a, PM_MEM_WEIGHTS), 0);
    CHECK_EQ_INT(pm_arena_peak_total(a), 100);
    pm_arena_alloc(a, 50, PM_MEM_GRADIENTS);
    pm_arena_reset(a);
    CHECK_EQ_INT(pm_arena_live(a, PM_MEM_GRADIENTS), 0);
    CHECK_EQ_INT(pm_arena_peak(a, PM_MEM_GRADIENTS), 150);
    pm_arena_free(a);
}

static void arena_recycles_equal_sizes(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    void *x = pm_arena_alloc(a, 1000, PM_MEM_ACTIVATIONS), *y = pm_arena_alloc(a, 2000, PM_MEM_ACTIVATIONS);
    pm_arena_recycle(a, x, 1000, PM_MEM_ACTIVATIONS);
    pm_arena_recycle(a, y, 2000, PM_MEM_ACTIVATIONS);
    CHECK(pm_arena_alloc(a, 500, PM_MEM_ACTIVATIONS) != x);
    CHECK(pm_arena_alloc(a, 1990, PM_MEM_ACTIVATIONS) == y); /* the same 64-byte class */
    CHECK(pm_arena_alloc(a, 1000, PM_MEM_ACTIVATIONS) == x);
    void *z = pm_arena_alloc(a, 1000, PM_MEM_ACTIVATIONS);
    CHECK(z != x);
    pm_arena_recycle(a, z, 1000, PM_MEM_ACTIVATIONS);
    pm_arena_reset(a);
    void *first = pm_arena_alloc(a, 1000, PM_MEM_ACTIVATIONS),
         *second = pm_arena_alloc(a, 1000, PM_MEM_ACTIVATIONS);
    CHECK(first == x); /* from the start again, and z's list is gone: else one of the two would be z */
    CHECK(second != z && second != first);
    pm_arena_free(a);
}

/* More distinct sizes than the table of lists holds: pieces are lost until the reset, never handed out twice.
 */
static void arena_survives_many_sizes(void) {
    pm_arena *a = pm_arena_new("test", (size_t)1 << 30);
    enum { N = 1500 };
    for (size_t i = 1; i <= N; i++) {
        void *p = pm_arena_alloc(a, 64 * i, PM_MEM_ACTIVATIONS);
        pm_arena_recycle(a, p, 64 * i, PM_MEM_ACTIVATIONS);
    }
    static unsigned char *again[N + 1];
    for (size_t i = N; i >= 1; i--) /* from the largest: a piece of a wrong, smaller size would overlap */
        again[i] = memset(pm_arena_alloc(a, 64 * i, PM_MEM_ACTIVATIONS), (int)(i % 251), 64 * i);
    int overlaps = 0;
    for (size_t i = 1; i <= N; i++) overlaps += again[i][0] != i % 251 || again[i][64 * i - 1] != i % 251;
    CHECK_EQ_INT(overlaps, 0);
    CHECK_EQ_INT(pm_arena_live(a, PM_MEM_ACTIVATIONS), 64LL * N * (N + 1) / 2);
    pm_arena_free(a);
}

static void arena_settles(void) {
    pm_arena *a = pm_arena_new("step", (size_t)64 << 20);
    int64_t after_two = 0;
    for (int step = 0; step < 10; step++) {
        for (size_t i = 0; i < 20; i++)
            pm_arena_alloc(a, 1000 * (i + 1) + (size_t)(step % 2) * 64, PM_MEM_ACTIVATIONS);
        pm_arena_reset(a);
        if (step == 1) after_two = pm_arena_fresh(a);
    }
    CHECK(after_two >= 20);
    CHECK_EQ_INT(pm_arena_fresh(a), after_two);
    for (int i = 0; i < 21; i++) pm_arena_alloc(a, 20064, PM_MEM_ACTIVATIONS); /* a longer step is seen */
    CHECK(pm_arena_fresh(a) > after_two);
    pm_arena_free(a);
}

static void arena_strings_and_zeros(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    memset(pm_arena_alloc(a, 256, PM_MEM_WORKSPACE), 7, 256);
    pm_arena_reset(a);
    unsigned char *z = pm_arena_zalloc(a, 256, PM_MEM_WORKSPACE);
    int sum = 0;
    for (int i = 0; i < 256; i++) sum += z[i];
    CHECK_EQ_INT(sum, 0);
    CHECK_EQ_STR(pm_arena_strdup(a, "q_proj"), "q_proj");
    CHECK_EQ_STR(pm_arena_printf(a, "layers.%d.%s", 12, "q_proj"), "layers.12.q_proj");
    pm_arena_free(a);
}

static void pass_the_limit(void) {
    pm_arena_alloc(pm_arena_new("tiny", 4096), 5000, PM_MEM_WEIGHTS);
}

static void wrap_around(void) {
    pm_arena_alloc(pm_arena_new("tiny", 4096), SIZE_MAX - 10, PM_MEM_WEIGHTS);
}

static void recycle_twice(void) {
    pm_arena *a = pm_arena_new("tiny", 4096);
    void *p = pm_arena_alloc(a, 100, PM_MEM_WEIGHTS);
    pm_arena_recycle(a, p, 100, PM_MEM_WEIGHTS);
    pm_arena_recycle(a, p, 100, PM_MEM_WEIGHTS);
}

static void arena_aborts_with_the_size(void) {
    char text[512];
    CHECK_EQ_INT(dies_with(pass_the_limit, text, sizeof text), SIGABRT);
    CHECK(strstr(text, "tiny") && strstr(text, "5000"));
    CHECK_EQ_INT(dies_with(wrap_around, text, sizeof text), SIGABRT);
    CHECK(strstr(text, "out of memory"));
    CHECK_EQ_INT(dies_with(recycle_twice, text, sizeof text), SIGABRT);
    CHECK(strstr(text, "recycled"));
}

static void arena_poisons(void) {
#if defined(PM_DEBUG) && !defined(__SANITIZE_ADDRESS__)
    pm_arena *a = pm_arena_new("test", 1 << 20);
    unsigned char *p = pm_arena_alloc(a, 128, PM_MEM_WORKSPACE);
    CHECK_EQ_INT(p[0], 0xAA);
    CHECK_EQ_INT(p[127], 0xAA);
    pm_arena_recycle(a, p, 128, PM_MEM_WORKSPACE);
    CHECK_EQ_INT(p[127], 0x55);
    p = pm_arena_alloc(a, 128, PM_MEM_WORKSPACE);
    pm_arena_reset(a);
    CHECK_EQ_INT(p[0], 0x55);
    pm_arena_free(a);
#else
    SKIP("arena_poisons", "needs V=debug");
#endif
}

#ifdef __SANITIZE_ADDRESS__
static volatile unsigned char sink;
static void read_past_the_end(void) {
    unsigned char *p = pm_arena_zalloc(pm_arena_new("test", 1 << 20), 100, PM_MEM_WORKSPACE);
    sink = p[100];
}
static void read_recycled(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    unsigned char *p = pm_arena_zalloc(a, 100, PM_MEM_WORKSPACE);
    pm_arena_recycle(a, p, 100, PM_MEM_WORKSPACE);
    sink = p[50];
}
static void read_after_reset(void) {
    pm_arena *a = pm_arena_new("test", 1 << 20);
    unsigned char *p = pm_arena_zalloc(a, 100, PM_MEM_WORKSPACE);
    pm_arena_reset(a);
    sink = p[0];
}
static void arena_is_watched_by_asan(void) {
    void (*const bad[])(void) = {read_past_the_end, read_recycled, read_after_reset};
    for (int i = 0; i < 3; i++) {
        char text[4096];
        dies_with(bad[i], text, sizeof text);
        CHECK(strstr(text, "use-after-poison"));
    }
}
#else
static void arena_is_watched_by_asan(void) {
    SKIP("arena_is_watched_by_asan", "needs V=asan");
}
#endif

/* ---- random numbers ---- */

/* Known-answer vectors of the authors' Random123 library (kat_vectors, philox4x32 10). */
static void philox_gives_the_published_words(void) {
    static const struct {
        uint64_t key, counter_lo, counter_hi;
        uint32_t want[4];
    } kat[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x85a308d3243f6a88,
         0x0370734413198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t got[4];
        pm_rng_block(kat[i].key, kat[i].counter_hi, kat[i].counter_lo, got);
        for (int w = 0; w < 4; w++) CHECK_EQ_INT(got[w], kat[i].want[w]);
    }
}

static void rng_is_a_function_of_its_position(void) {
    pm_rng r = pm_rng_make(42, 7);
    for (uint64_t i = 0; i < 1000; i++) CHECK_EQ_INT(pm_rng_u32(&r), pm_rng_at(42, 7, i));
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++)
        same += pm_rng_at(42, 7, i) == pm_rng_at(42, 8, i) || pm_rng_at(42, 7, i) == pm_rng_at(43, 7, i);
    CHECK_EQ_INT(same, 0); /* by chance with probability 5e-7 */
}

enum { N_DRAWS = 200000 };

/* Kolmogorov-Smirnov distance of sorted values of [0, 1) from the uniform distribution. */
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double ks_distance(double *u, int n) {
    qsort(u, (size_t)n, sizeof *u, by_value);
    double d = 0;
    for (int i = 0; i < n; i++)
        d = fmax(d, fmax(fabs(u[i] - (double)i / n), fabs(u[i] - (double)(i + 1) / n)));
    return d;
}

/* 2.5 / sqrt(n) is passed by a true generator with probability 1 - 2 exp(-2 * 2.5^2) = 1 - 7e-6 (Kolmogorov).
 */
static void rng_uniform_and_normal_have_their_shape(void) {
    static double u[N_DRAWS], z[N_DRAWS];
    pm_rng r = pm_rng_make(1, pm_hash64("shape", 5));
    for (int i = 0; i < N_DRAWS; i++)
        u[i] = pm_rng_uniform(&r), z[i] = 0.5 * erfc(-pm_rng_normal(&r) / sqrt(2));
    CHECK(ks_distance(u, N_DRAWS) < 2.5 / sqrt(N_DRAWS));
    CHECK(u[0] >= 0 && u[N_DRAWS - 1] < 1);
    CHECK(ks_distance(z, N_DRAWS) < 2.5 / sqrt(N_DRAWS));
}

static void rng_fills_have_their_shape(void) {
    static real x[N_DRAWS];
    static double u[N_DRAWS];
    pm_rng r = pm_rng_make(2, 0);
    pm_rng_u32(&r); /* not on a block's edge */
    pm_rng_fill_uniform(&r, x, N_DRAWS, -3, 5);
    for (int i = 0; i < N_DRAWS; i++) u[i] = ((double)x[i] + 3) / 8;
    CHECK(ks_distance(u, N_DRAWS) < 2.5 / sqrt(N_DRAWS));
    pm_rng_fill_normal(&r, x, N_DRAWS, 1, (real)0.02);
    for (int i = 0; i < N_DRAWS; i++) u[i] = 0.5 * erfc(-((double)x[i] - 1) / 0.02 / sqrt(2));
    CHECK(ks_distance(u, N_DRAWS) < 2.5 / sqrt(N_DRAWS));
    double pairs = 0; /* sine and cosine of one angle must not be correlated: 5 sigma */
    for (int i = 0; i < N_DRAWS; i += 2) pairs += ((double)x[i] - 1) * ((double)x[i + 1] - 1) / 0.0004;
    CHECK_NEAR(pairs / (N_DRAWS / 2.0), 0, 5 / sqrt(N_DRAWS / 2.0));
}

static void rng_fills_do_not_depend_on_threads(void) {
    static real one[N_DRAWS], two[N_DRAWS];
    int before = omp_get_max_threads();
    for (int n = 65533; n <= 65534; n++) {
        pm_rng a = pm_rng_make(3, 1), b = a;
        omp_set_num_threads(1);
        pm_rng_fill_normal(&a, one, n, 0, 1);
        omp_set_num_threads(2);
        pm_rng_fill_normal(&b, two, n, 0, 1);
        CHECK(memcmp(one, two, (size_t)n * sizeof *one) == 0);
        CHECK_EQ_INT(a.pos, b.pos);
        CHECK_EQ_INT(a.pos, 4 * ((n + 1) / 2));
    }
    omp_set_num_threads(before);
}

/* Chi-square of 6 cells (5 degrees): 30 is passed with probability 1 - 1.5e-5. */
static void rng_below_is_even(void) {
    pm_rng r = pm_rng_make(4, 0);
    int seen[6] = {0};
    for (int i = 0; i < 60000; i++) seen[pm_rng_below(&r, 6)]++;
    double chi2 = 0;
    for (int i = 0; i < 6; i++) chi2 += (seen[i] - 1e4) * (seen[i] - 1e4) / 1e4;
    CHECK(chi2 < 30);
    /* With n = 3 * 2^30 the plain multiply would give multiples of 3 twice the others' probability. */
    int third = 0;
    for (int i = 0; i < 30000; i++) third += pm_rng_below(&r, 3u << 30) % 3 == 0;
    CHECK_NEAR(third, 10000, 5 * sqrt(30000 * 2 / 9.0));
    CHECK_EQ_INT(pm_rng_below(&r, 1), 0);
}

static void rng_shuffle_is_a_fair_permutation(void) {
    pm_rng r = pm_rng_make(5, 0);
    int seen[6] = {0};
    for (int i = 0; i < 60000; i++) {
        int32_t x[3] = {0, 1, 2};
        pm_rng_shuffle(&r, x, 3);
        CHECK_EQ_INT(1 << x[0] | 1 << x[1] | 1 << x[2], 7);
        seen[x[0] * 2 + (x[1] > x[2])]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++) chi2 += (seen[i] - 1e4) * (seen[i] - 1e4) / 1e4;
    CHECK(chi2 < 30);
}

/* Vectors of the FNV authors' test program. */
static void hash64_is_fnv1a(void) {
    CHECK_EQ_INT(pm_hash64("", 0), 0xcbf29ce484222325);
    CHECK_EQ_INT(pm_hash64("a", 1), 0xaf63dc4c8601ec8c);
    CHECK_EQ_INT(pm_hash64("foobar", 6), 0x85944171f73967e8);
}

/* ---- SHA-256: FIPS 180-4 examples and the NIST long message ---- */

static void sha256_gives_the_published_digests(void) {
    static const struct {
        const char *text, *want;
    } kat[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmno"
         "pqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65];
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        pm_sha256_of(kat[i].text, strlen(kat[i].text), hex);
        CHECK_EQ_STR(hex, kat[i].want);
    }
    static char million[1000000];
    memset(million, 'a', sizeof million);
    pm_sha256_of(million, sizeof million, hex);
    CHECK_EQ_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_does_not_depend_on_the_cuts(void) {
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof data; n += 13) {
        char whole[65], cut[65];
        pm_sha256_of(data, n, whole);
        for (size_t at = 0; at <= n; at++) {
            pm_sha256 s;
            pm_sha256_init(&s);
            pm_sha256_update(&s, data, at);
            pm_sha256_update(&s, data + at, n - at);
            pm_sha256_hex(&s, cut);
            CHECK_EQ_STR(cut, whole);
        }
    }
}

int main(void) {
    RUN(err_keeps_message_and_hint);
    RUN(err_cuts_long_messages);
    RUN(bug_aborts_with_place_and_message);
    RUN(clock_moves_forward);
    RUN(arena_aligns_and_separates);
    RUN(arena_counts_live_and_peak);
    RUN(arena_recycles_equal_sizes);
    RUN(arena_survives_many_sizes);
    RUN(arena_settles);
    RUN(arena_strings_and_zeros);
    RUN(arena_aborts_with_the_size);
    RUN(arena_poisons);
    RUN(arena_is_watched_by_asan);
    RUN(philox_gives_the_published_words);
    RUN(rng_is_a_function_of_its_position);
    RUN(rng_uniform_and_normal_have_their_shape);
    RUN(rng_fills_have_their_shape);
    RUN(rng_fills_do_not_depend_on_threads);
    RUN(rng_below_is_even);
    RUN(rng_shuffle_is_a_fair_permutation);
    RUN(hash64_is_fnv1a);
    RUN(sha256_gives_the_published_digests);
    RUN(sha256_does_not_depend_on_the_cuts);
    return check_done();
}
