/* test_commons.c - memory that processes have in common: found, waited for, taken over from the dead, refused where it does not fit; and
 * that nobody can tell by numbers or by counts whether a weight came out of it.
 *
 * Two handles in one process stand for two processes where nothing needs to wait; where something does, a child is forked.
 */
#define _GNU_SOURCE
#include "check.h"
#include "commons.h"
#include "gemm.h"
#include "rng.h"
#include <fcntl.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pm_err e;

/* In the place of libc's: a system that has none. */
static bool without_memfd;
int memfd_create(const char *name, unsigned flags) {
    return without_memfd ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

/* ---- helpers ---- */

static const char *text_at(pm_common *c, const char *key) {
    size_t n = 0;
    const char *p = c->find(c, key, &n);
    if (!p) c->drop(c);
    return p;
}

static const char *put_text(pm_common *c, const char *key, const char *text) {
    size_t n;
    CHECK(c->find(c, key, &n) == NULL);
    char *room = c->room(c, strlen(text) + 1);
    CHECK(room && (uintptr_t)room % 64 == 0);
    if (!room) return NULL;
    memcpy(room, text, strlen(text) + 1);
    return c->done(c);
}

/* A child that does `act` with a handle of its own; it writes to `told` when it may be looked at. */
static pid_t child_of(int fd, void (*act)(pm_common *c, int told), int *told) {
    int ends[2];
    fflush(NULL);
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pm_common *c = pm_commons_open(fd);
        act(c, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    *told = ends[0];
    return pid;
}

static void wait_until_told(int told) {
    char c;
    CHECK_EQ_INT(read(told, &c, 1), 1);
    close(told);
}

/* ---- blocks ---- */

static void blocks_are_found_by_others(void) {
    int fd = pm_commons_create();
    pm_common *a = pm_commons_open(fd), *b = pm_commons_open(fd);
    CHECK(fd >= 0 && a && b);
    CHECK_EQ_INT(pm_commons_bytes(fd), 0);
    const char *made = put_text(a, "first", "one");
    put_text(b, "second", "another");
    CHECK_EQ_STR(made, "one");
    CHECK_EQ_STR(text_at(b, "first"), "one");
    CHECK_EQ_STR(text_at(a, "second"), "another");
    CHECK(text_at(a, "first") == made); /* mapped once */
    CHECK_EQ_INT(pm_commons_bytes(fd), 4 + 8);
    a->find(a, "dropped", &(size_t){0});
    CHECK(a->room(a, 10) != NULL);
    a->drop(a);
    CHECK(b->find(b, "dropped", &(size_t){0}) == NULL); /* for b to fill now */
    CHECK(b->room(b, SIZE_MAX / 2) == NULL);            /* more than there is: given up */
    CHECK_EQ_STR(put_text(a, "dropped", "third"), "third");
    CHECK_EQ_INT(pm_commons_bytes(fd), 4 + 8 + 6);
    pm_commons_close(a);
    pm_commons_close(b);
    pm_commons_close(NULL);
    close(fd);
}

static void room_is_refused_where_nothing_was_claimed(void) {
    int fd = pm_commons_create();
    pm_common *c = pm_commons_open(fd);
    char key[300];
    CHECK(c->room(c, 10) == NULL);
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = 0;
    CHECK(c->find(c, key, &(size_t){0}) == NULL);
    CHECK(c->room(c, 10) == NULL); /* the key is too long to be kept */
    int n = 0;
    for (snprintf(key, sizeof key, "0"); n < 5000; snprintf(key, sizeof key, "%d", ++n)) {
        c->find(c, key, &(size_t){0});
        if (!c->room(c, 1)) break;
        c->done(c);
    }
    CHECK(n > 1000 && n < 5000); /* the table ends, and nothing else does */
    CHECK(text_at(c, "17") != NULL);
    pm_commons_close(c);
    close(fd);
}

static void write_to_a_block(pm_common *c, int told) {
    char *p = (char *)(uintptr_t)text_at(c, "text");
    signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
    if (p && write(told, "", 1) == 1) *p = 'X';
}

static void readers_cannot_write(void) {
    int fd = pm_commons_create(), told, status = 0;
    pm_common *c = pm_commons_open(fd);
    const char *text = put_text(c, "text", "as it was");
    pid_t pid = child_of(fd, write_to_a_block, &told);
    wait_until_told(told);
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK_EQ_STR(text, "as it was");
    pm_commons_close(c);
    close(fd);
}

/* ---- waiting ---- */

static void fill_slowly(pm_common *c, int told) {
    c->find(c, "slow", &(size_t){0});
    char *p = c->room(c, 5);
    if (!p || write(told, "", 1) != 1) return;
    usleep(200000);
    memcpy(p, "done", 5);
    c->done(c);
    pause(); /* the block is whole, whatever becomes of who made it */
}

static void who_asks_meanwhile_waits(void) {
    int fd = pm_commons_create(), told;
    pm_common *c = pm_commons_open(fd);
    pid_t pid = child_of(fd, fill_slowly, &told);
    wait_until_told(told);
    double begun = pm_now_s();
    CHECK_EQ_STR(text_at(c, "slow"), "done");
    CHECK(pm_now_s() - begun > 0.1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pm_commons_close(c);
    close(fd);
}

static void die_while_filling(pm_common *c, int told) {
    c->find(c, "slow", &(size_t){0});
    char *p = c->room(c, 5);
    if (!p || write(told, "", 1) != 1) return;
    memcpy(p, "half", 5);
    usleep(100000);
    raise(SIGKILL);
}

static void the_dead_are_taken_over_from(void) {
    int fd = pm_commons_create(), told;
    pm_common *c = pm_commons_open(fd);
    pid_t pid = child_of(fd, die_while_filling, &told);
    wait_until_told(told);
    CHECK_EQ_STR(put_text(c, "slow", "whole"),
                 "whole"); /* waits for the end of the child, finds nothing, fills it */
    waitpid(pid, NULL, 0);
    pm_commons_close(c);
    close(fd);
}

/* ---- what does not fit ---- */

static void files_that_do_not_fit_are_left_alone(void) {
    char page[4096] = {0};
    FILE *file = tmpfile();
    int ends[2], plain = file ? fileno(file) : -1, fd = pm_commons_create();
    CHECK(pipe(ends) == 0);
    CHECK(pm_commons_open(-1) == NULL && pm_commons_open(12345) == NULL);
    CHECK(pm_commons_open(ends[0]) == NULL);
    CHECK(pm_commons_open(plain) == NULL); /* empty */
    CHECK_EQ_INT(ftruncate(plain, 4 << 20), 0);
    CHECK(pm_commons_open(plain) == NULL); /* of another kind */
    CHECK_EQ_INT(pm_commons_bytes(plain), 0);
    CHECK_EQ_INT(pread(fd, page, sizeof page, 0), sizeof page);
    CHECK_EQ_INT(pwrite(plain, page, sizeof page, 0), sizeof page);
    pm_common *c = pm_commons_open(plain);
    CHECK(c != NULL); /* a copy of one: so it is its first page that is looked at */
    pm_commons_close(c);
    page[strlen("peftmeter ")]++; /* another version */
    CHECK_EQ_INT(pwrite(plain, page, sizeof page, 0), sizeof page);
    CHECK(pm_commons_open(plain) == NULL);
    fclose(file);
    close(fd), close(ends[0]), close(ends[1]);
}

/* An entry that says more than the file holds is no block; an arena then uses memory of its own. */
static bool fill_sevens(void *ctx, void *out) {
    memset(out, 7, 3000);
    ++*(int *)ctx;
    return true;
}

static void entries_that_do_not_fit_are_not_believed(void) {
    int fd = pm_commons_create(), fills = 0;
    pm_common *a = pm_commons_open(fd), *b = pm_commons_open(fd);
    pm_arena *m = pm_arena_new("test", 1 << 20);
    struct stat st;
    put_text(a, "short", "x");
    pm_arena_use_common(m, a);
    pm_arena_common(m, "cut off", 3000, PM_MEM_ADAPTER, fill_sevens, &fills);
    CHECK_EQ_INT(fstat(fd, &st), 0);
    CHECK_EQ_INT(ftruncate(fd, st.st_size - 1), 0);
    pm_arena_use_common(m, b);
    const char *p = pm_arena_common(m, "short", 3000, PM_MEM_WEIGHTS, fill_sevens, &fills);
    CHECK(p && p[0] == 7 && p[2999] == 7);
    CHECK_EQ_INT(fills, 2);
    p = pm_arena_common(m, "cut off", 3000, PM_MEM_WEIGHTS, fill_sevens, &fills);
    CHECK(p && p[2999] == 7);
    CHECK_EQ_INT(fills, 3);
    CHECK_EQ_INT(pm_arena_live(m, PM_MEM_WEIGHTS), 6000);
    pm_arena_free(m);
    pm_commons_close(a);
    pm_commons_close(b);
    close(fd);
}

static void a_file_without_a_name_serves_too(void) {
    without_memfd = true;
    int fd = pm_commons_create();
    without_memfd = false;
    struct stat st;
    CHECK(fd > STDERR_FILENO && fstat(fd, &st) == 0);
    CHECK_EQ_INT(st.st_nlink, 0); /* nothing stays behind */
    CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
    pm_common *a = pm_commons_open(fd), *b = pm_commons_open(fd);
    put_text(a, "key", "text");
    CHECK_EQ_STR(text_at(b, "key"), "text");
    pm_commons_close(a);
    pm_commons_close(b);
    close(fd);
}

/* ---- arenas ---- */

static bool fill_nothing(void *ctx, void *out) {
    (void)out;
    ++*(int *)ctx;
    return false;
}

/* The first process fills, the second finds it, the third has nothing in common with them. */
static void arenas_count_alike(void) {
    static const int want_fills[] = {1, 0, 1}, want_fresh[] = {0, 0, 1};
    int fd = pm_commons_create();
    pm_common *of[] = {pm_commons_open(fd), pm_commons_open(fd), NULL};
    for (int i = 0; i < 3; i++) {
        int fills = 0, tried = 0;
        pm_arena *m = pm_arena_new("test", 1 << 20);
        pm_arena_use_common(m, of[i]);
        const char *p = pm_arena_common(m, "sevens", 3000, PM_MEM_WEIGHTS, fill_sevens, &fills);
        CHECK(p && p[0] == 7 && p[2999] == 7);
        CHECK_EQ_INT(fills, want_fills[i]);
        CHECK_EQ_INT(pm_arena_fresh(m), want_fresh[i]);
        CHECK_EQ_INT(pm_arena_live(m, PM_MEM_WEIGHTS), 3000);
        CHECK_EQ_INT(pm_arena_peak_total(m), 3000);
        CHECK(pm_arena_common(m, "nothing", 100, PM_MEM_WEIGHTS, fill_nothing, &tried) == NULL);
        CHECK_EQ_INT(tried, 1);
        CHECK_EQ_INT(pm_arena_live(m, PM_MEM_WEIGHTS), 3000);
        p = pm_arena_common(m, "nothing", 3000, PM_MEM_ADAPTER, fill_sevens,
                            &tried); /* given up, so it is free */
        CHECK(p && p[2999] == 7);
        CHECK(pm_arena_common(m, NULL, 3000, PM_MEM_WEIGHTS, fill_sevens, &fills) != NULL);
        CHECK_EQ_INT(fills, want_fills[i] + 1); /* without a key it is nobody else's */
        CHECK_EQ_INT(pm_arena_live(m, PM_MEM_WEIGHTS), 6000);
        CHECK_EQ_INT(pm_arena_elsewhere(m), of[i] ? 6000 : 0);
        pm_arena_reset(m);
        CHECK_EQ_INT(pm_arena_elsewhere(m), 0);
        pm_arena_free(m);
    }
    pm_commons_close(of[0]);
    pm_commons_close(of[1]);
    close(fd);
}

/* ---- packed weights ---- */

enum { O = 20, I = 30, ROWS = 5 };

static void multiply(pm_arena *m, const char *model, const char *name, real fill_with, real y[ROWS * O]) {
    real *w = pm_arena_alloc(m, sizeof *w * O * I, PM_MEM_WORKSPACE), x[ROWS * I];
    for (int i = 0; i < O * I; i++) w[i] = fill_with;
    for (int i = 0; i < ROWS * I; i++) x[i] = 1;
    pm_packed_forward(pm_pack(m, model, name, w, O, I, PM_BF16), ROWS, x, 0, y);
}

/* A second process gives another W under the same name: what it computes says whose layout it used. */
static void packed_weights_are_found_by_name(void) {
    int fd = pm_commons_create();
    pm_common *a = pm_commons_open(fd), *b = pm_commons_open(fd);
    pm_arena *first = pm_arena_new("test", 1 << 20), *second = pm_arena_new("test", 1 << 20);
    real y[ROWS * O];
    CHECK_OK(pm_gemm_init("openblas", 1, &e));
    pm_arena_use_common(first, a);
    pm_arena_use_common(second, b);
    multiply(first, "model", "q", 1, y);
    CHECK_NEAR(y[0], I, 0);
    multiply(second, "model", "q", 2, y);
    CHECK_NEAR(y[0], I, 0); /* the first's */
    multiply(second, "model", "k", 2, y);
    CHECK_NEAR(y[0], 2 * I, 0);
    multiply(second, "other", "q", 2, y);
    CHECK_NEAR(y[0], 2 * I, 0);
    multiply(second, "", "q", 2, y); /* a model that is not known: nobody else's */
    CHECK_NEAR(y[0], 2 * I, 0);
    multiply(second, NULL, NULL, 2, y);
    CHECK_NEAR(y[0], 2 * I, 0);
    CHECK_EQ_INT(pm_commons_bytes(fd), 3 * O * I * (int)sizeof(real));
    pm_arena_free(first);
    pm_arena_free(second);
    pm_commons_close(a);
    pm_commons_close(b);
    close(fd);
}

int main(void) {
    RUN(blocks_are_found_by_others);
    RUN(room_is_refused_where_nothing_was_claimed);
    RUN(readers_cannot_write);
    RUN(who_asks_meanwhile_waits);
    RUN(the_dead_are_taken_over_from);
    RUN(files_that_do_not_fit_are_left_alone);
    RUN(entries_that_do_not_fit_are_not_believed);
    RUN(a_file_without_a_name_serves_too);
    RUN(arenas_count_alike);
    RUN(packed_weights_are_found_by_name);
    return check_done();
}
