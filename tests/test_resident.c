/* test_resident.c - resident memory by what is mapped: pages that are touched count, others do not, and what belongs to nobody stays unexplained. */
#include "arena.h"
#include "check.h"
#include "resident.h"
#include "weights.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page;

static void touch(volatile char *p, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += page) p[i] = 1;
}

static void counts_touched_pages(void) {
    char *p = mmap(NULL, 700 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    if (p == MAP_FAILED) return;
    madvise(p, 700 * page, MADV_NOHUGEPAGE);
    CHECK_EQ_INT(pm_resident_in(p, 700 * page), 0);
    touch(p + 3 * page, 600 * page);
    CHECK_EQ_INT(pm_resident_in(p, 700 * page), 600 * page);
    CHECK_EQ_INT(pm_resident_in(p + 2 * page + 1, 2 * page), 2 * page); /* pages 2 to 4 */
    CHECK_EQ_INT(pm_resident_in(p, 0), 0);
    munmap(p, 700 * page);
}

#ifndef __SANITIZE_ADDRESS__ /* it has an allocator of its own */

/* Memory that the program does not account for must not be explained by anything. */
static void other_memory_is_neither_program_nor_heap(void) {
    enum { BYTES = 24 << 20 };
    pm_resident before = pm_resident_get();
    CHECK(before.program > (1 << 18) && before.heap > 0);
    char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    if (p == MAP_FAILED) return;
    touch(p, BYTES);
    CHECK_EQ_INT(pm_resident_in(p, BYTES), BYTES);
    pm_resident after = pm_resident_get();
    CHECK(llabs(after.program - before.program) < (1 << 20));
    CHECK(llabs(after.heap - before.heap) < (1 << 20));
    munmap(p, BYTES);
}

/* Pieces that malloc takes from [heap], maps apart, and takes from another thread's arena. */
static void heap_is_mallocs(void) {
    enum { SMALL = 1000, N = 4096, LARGE = 40 << 20 };
    static char *small[N];
    int64_t before = pm_resident_get().heap;
    for (int i = 0; i < N; i++) touch(small[i] = calloc(1, SMALL), SMALL);
    CHECK_NEAR(pm_resident_get().heap - before, N * SMALL, N * SMALL / 20);
    for (int i = 0; i < N; i++) free(small[i]);
    before = pm_resident_get().heap;
    char *large = malloc(LARGE);
    touch(large, LARGE);
    CHECK_NEAR(pm_resident_get().heap - before, LARGE, LARGE / 20);
    free(large);
    before = pm_resident_get().heap;
#pragma omp parallel num_threads(2)
#pragma omp for schedule(static, N / 2)
    for (int i = 0; i < N; i++) touch(small[i] = malloc(SMALL), SMALL);
    CHECK(pm_resident_get().heap - before > N * SMALL / 3); /* the main thread may have found what it freed */
    for (int i = 0; i < N; i++) free(small[i]);
}

static void freed_pieces_are_given_back(void) {
    enum { SMALL = 1000, N = 8192 };
    static char *small[N];
    for (int i = 0; i < N; i++) touch(small[i] = malloc(SMALL), SMALL);
    char *above = malloc(SMALL); /* what is freed below it stays malloc's */
    for (int i = 0; i < N; i++) free(small[i]);
    int64_t before = pm_resident_get().heap;
    pm_resident_give_back();
    CHECK(before - pm_resident_get().heap > N * SMALL / 2);
    free(above);
}

#endif

static void an_arena_says_where_it_lies(void) {
    pm_arena *a = pm_arena_new("test", 0);
    size_t n_bytes;
    pm_arena_span(a, &n_bytes);
    CHECK_EQ_INT(n_bytes, 0);
    char *p = pm_arena_alloc(a, (size_t)5 << 20, PM_MEM_WORKSPACE);
    touch(p, (size_t)5 << 20);
    const char *span = pm_arena_span(a, &n_bytes);
    CHECK(span <= p && span + n_bytes >= p + (5 << 20));
    int64_t held = pm_resident_in(span, n_bytes);
    CHECK(held >= 5 << 20 && held <= 6 << 20);
    pm_arena_reset(a);
    CHECK_EQ_INT(pm_resident_in(span, n_bytes), held); /* pages are kept */
    pm_arena_free(a);
}

static void a_file_is_forgotten_and_read_again(void) {
    char path[] = P_tmpdir "/pm-resident-XXXXXX";
    int fd = mkstemp(path);
    size_t n_bytes = 64 * page;
    char *bytes = malloc(n_bytes);
    for (size_t i = 0; i < n_bytes; i++) bytes[i] = (char)(i % 251);
    CHECK(fd >= 0 && write(fd, bytes, n_bytes) == (ssize_t)n_bytes);
    close(fd);
    pm_map m;
    CHECK(pm_map_open(path, &m, NULL) == PM_OK);
    unlink(path);
    CHECK(!memcmp(m.p, bytes, n_bytes));
    CHECK_EQ_INT(pm_resident_in(m.p, n_bytes), 64 * page);
    pm_map_forget(m.p + 10, page); /* no whole page */
    CHECK_EQ_INT(pm_resident_in(m.p, n_bytes), 64 * page);
    pm_map_forget(m.p + 2 * page + 10, 3 * page);
    CHECK_EQ_INT(pm_resident_in(m.p, n_bytes), 62 * page);
    CHECK(!memcmp(m.p, bytes, n_bytes));
    pm_map_close(&m);
    free(bytes);
}

int main(void) {
    page = (size_t)sysconf(_SC_PAGESIZE);
    if (pm_resident_get().program < 0) {
        SKIP("resident memory", "this system does not say which pages are resident");
        return check_done();
    }
    RUN(counts_touched_pages);
    RUN(an_arena_says_where_it_lies);
    RUN(a_file_is_forgotten_and_read_again);
#ifdef __SANITIZE_ADDRESS__
    SKIP("heap and program", "AddressSanitizer has an allocator of its own");
#else
    RUN(other_memory_is_neither_program_nor_heap);
    RUN(heap_is_mallocs);
    RUN(freed_pieces_are_given_back);
#endif
    return check_done();
}
