/* arena.c - a reserved range, a moving pointer and exact-size free lists (arena.h).
 *
 * Why a reservation: the range never moves, so pointers stay valid however far it grows, and the system gives
 * pages only as they are touched. A step recycles few distinct sizes, so one list per size finds a fit
 * without searching; what does not fit in the table of sizes simply waits for the reset.
 */
#include "arena.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define REDZONE ((size_t)64) /* poisoned bytes after every piece, so that an overrun is seen at once */
#define HIDE(p, n) __asan_poison_memory_region(p, n)
#define SHOW(p, n) __asan_unpoison_memory_region(p, n)
#else
#define REDZONE ((size_t)0)
#define HIDE(p, n) ((void)(p), (void)(n))
#define SHOW(p, n) ((void)(p), (void)(n))
#endif
#ifdef PM_DEBUG
#define FILL(p, byte, n) memset(p, byte, n)
#else
#define FILL(p, byte, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = 64, N_BINS = 512 /* a power of two */ };
static const size_t huge_page = (size_t)2 << 20, huge_from = (size_t)8 << 20;

typedef struct piece { /* lives in the first bytes of a recycled piece */
    struct piece *next;
} piece;

typedef struct bin {
    size_t size; /* rounded bytes of every piece in the list; 0: unused slot */
    piece *head;
} bin;

struct pm_arena {
    char name[32];
    char *map;  /* as mmap gave it */
    char *base; /* the same, aligned to a huge page */
    size_t map_bytes, limit, used, high;
    bool huge; /* the system was asked for huge pages */
    pm_common *common;
    int64_t elsewhere;
    int64_t fresh, asked, live[PM_MEM_N], peak[PM_MEM_N], live_total, peak_total;
    bin bins[N_BINS];
};

const char *pm_mem_name(pm_mem category) {
    static const char *const names[PM_MEM_N] = {
        [PM_MEM_WEIGHTS] = "weights",         [PM_MEM_ADAPTER] = "adapter",
        [PM_MEM_GRADIENTS] = "gradients",     [PM_MEM_OPTIMIZER] = "optimizer",
        [PM_MEM_ACTIVATIONS] = "activations", [PM_MEM_WORKSPACE] = "workspace",
    };
    PM_ASSERT((unsigned)category < PM_MEM_N, "category %d", (int)category);
    return names[category];
}

__attribute__((noreturn)) static void out_of_memory(const char *arena, size_t wanted, size_t limit) {
    fprintf(stderr,
            "peftmeter: out of memory: arena %s: %zu bytes wanted, limit %zu bytes\n"
            "hint: a smaller train.batch or train.max_len, or a higher `ulimit -v`\n",
            arena, wanted, limit);
    abort();
}

/* Physical memory; an eighth of the address space where that is limited, so that a handful of arenas and
 * files fit. */
static size_t default_limit(void) {
    size_t limit = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY && space.rlim_cur / 8 < limit)
        limit = (size_t)space.rlim_cur / 8;
    return limit;
}

pm_arena *pm_arena_new(const char *name, size_t limit_bytes) {
    if (limit_bytes == 0) limit_bytes = default_limit();
    pm_arena *a = calloc(1, sizeof *a);
    if (!a) out_of_memory(name, sizeof *a, limit_bytes);
    snprintf(a->name, sizeof a->name, "%s", name);
    a->limit = limit_bytes;
    a->map_bytes = limit_bytes + huge_page;
    if (a->map_bytes < limit_bytes) out_of_memory(name, limit_bytes, SIZE_MAX);
    void *map =
        mmap(NULL, a->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) out_of_memory(name, a->map_bytes, limit_bytes);
    a->map = map;
    a->base = a->map + (huge_page - (uintptr_t)map % huge_page) % huge_page;
    return a;
}

void pm_arena_free(pm_arena *a) {
    if (!a) return;
    SHOW(a->base, a->high);
    munmap(a->map, a->map_bytes);
    free(a);
}

static size_t round_up(size_t bytes) {
    return bytes == 0 ? ALIGN : (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The slot of a size: its own, else the unused one it would take, else NULL (table full). */
static bin *find_bin(pm_arena *a, size_t size) {
    size_t hash = (size / ALIGN) * (size_t)0x9E3779B97F4A7C15u >> (sizeof(size_t) * 8 - 9);
    for (size_t i = 0; i < N_BINS; i++) {
        bin *b = &a->bins[(hash + i) % N_BINS];
        if (b->size == size || b->size == 0) return b;
    }
    return NULL;
}

static void *take_recycled(pm_arena *a, size_t size) {
    bin *b = find_bin(a, size);
    if (!b || !b->head) return NULL;
    piece *p = b->head;
    SHOW(p, sizeof *p);
    b->head = p->next;
    return p;
}

/* Huge pages make first touch several times cheaper; small arenas stay on small pages and stay small. */
static void ask_for_huge_pages(pm_arena *a, size_t size) {
    if (a->huge || (size < huge_page && a->used < huge_from)) return;
    a->huge = true;
#ifdef MADV_HUGEPAGE
    madvise(a->base, a->limit, MADV_HUGEPAGE); /* advice: where it is refused small pages serve */
#endif
}

static void *take_fresh(pm_arena *a, size_t size, size_t wanted) {
    if (size + REDZONE > a->limit - a->used) out_of_memory(a->name, wanted, a->limit);
    ask_for_huge_pages(a, size);
    void *p = a->base + a->used;
    a->used += size + REDZONE;
    if (a->used > a->high) {
        a->high = a->used;
        a->fresh++;
    }
    return p;
}

static void count(pm_arena *a, pm_mem category, int64_t bytes) {
    PM_ASSERT((unsigned)category < PM_MEM_N, "arena %s: category %d", a->name, (int)category);
    a->live[category] += bytes;
    a->live_total += bytes;
    PM_ASSERT(a->live[category] >= 0, "arena %s: more %s recycled than allocated", a->name,
              pm_mem_name(category));
    if (a->live[category] > a->peak[category]) a->peak[category] = a->live[category];
    if (a->live_total > a->peak_total) a->peak_total = a->live_total;
}

void *pm_arena_alloc(pm_arena *a, size_t bytes, pm_mem category) {
    if (bytes > a->limit) out_of_memory(a->name, bytes, a->limit);
    size_t size = round_up(bytes);
    void *p = take_recycled(a, size);
    if (!p) p = take_fresh(a, size, bytes);
    count(a, category, (int64_t)bytes);
    a->asked += (int64_t)bytes;
    SHOW(p, size);
    FILL(p, 0xAA, size);
    HIDE((char *)p + bytes, size - bytes + REDZONE);
    return p;
}

void *pm_arena_zalloc(pm_arena *a, size_t bytes, pm_mem category) {
    return memset(pm_arena_alloc(a, bytes, category), 0, bytes);
}

char *pm_arena_strdup(pm_arena *a, const char *s) {
    size_t bytes = strlen(s) + 1;
    return memcpy(pm_arena_alloc(a, bytes, PM_MEM_WORKSPACE), s, bytes);
}

char *pm_arena_printf(pm_arena *a, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    PM_ASSERT(n >= 0, "arena %s: format \"%s\"", a->name, fmt);
    char *s = pm_arena_alloc(a, (size_t)n + 1, PM_MEM_WORKSPACE);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return s;
}

void pm_arena_recycle(pm_arena *a, void *p, size_t bytes, pm_mem category) {
    PM_ASSERT((char *)p >= a->base && (char *)p < a->base + a->used, "arena %s: the piece is not from here",
              a->name);
    size_t size = round_up(bytes);
    count(a, category, -(int64_t)bytes);
    SHOW(p, size);
    FILL(p, 0x55, size);
    bin *b = find_bin(a, size);
    if (b) {
        b->size = size;
        ((piece *)p)->next = b->head;
        b->head = p;
    }
    HIDE(p, size);
}

/* ---- what processes have in common ---- */

void pm_arena_use_common(pm_arena *a, pm_common *c) {
    a->common = c;
}

/* *filled: what fill said, true where it was not asked. */
static const void *common_piece(pm_common *c, const char *key, size_t bytes, pm_fill fill, void *ctx,
                                bool *filled) {
    size_t found;
    const void *p = c->find(c, key, &found);
    if (p) return found == bytes ? p : NULL;
    void *out = c->room(c, bytes);
    if (!out) return NULL;
    *filled = fill(ctx, out);
    if (*filled) return c->done(c);
    c->drop(c);
    return NULL;
}

static const void *own_piece(pm_arena *a, size_t bytes, pm_mem category, pm_fill fill, void *ctx) {
    void *p = pm_arena_alloc(a, bytes, category);
    if (fill(ctx, p)) return p;
    pm_arena_recycle(a, p, bytes, category);
    return NULL;
}

const void *pm_arena_common(pm_arena *a, const char *key, size_t bytes, pm_mem category, pm_fill fill,
                            void *ctx) {
    bool filled = true;
    const void *p =
        a->common && key && bytes ? common_piece(a->common, key, bytes, fill, ctx, &filled) : NULL;
    if (p) count(a, category, (int64_t)bytes), a->elsewhere += (int64_t)bytes;
    return p || !filled ? p : own_piece(a, bytes, category, fill, ctx);
}

void pm_arena_reset(pm_arena *a) {
    SHOW(a->base, a->used);
    FILL(a->base, 0x55, a->used);
    HIDE(a->base, a->used);
    memset(a->bins, 0, sizeof a->bins);
    memset(a->live, 0, sizeof a->live);
    a->live_total = 0;
    a->elsewhere = 0;
    a->used = 0;
}

int64_t pm_arena_live(const pm_arena *a, pm_mem category) {
    PM_ASSERT((unsigned)category < PM_MEM_N, "category %d", (int)category);
    return a->live[category];
}

int64_t pm_arena_peak(const pm_arena *a, pm_mem category) {
    PM_ASSERT((unsigned)category < PM_MEM_N, "category %d", (int)category);
    return a->peak[category];
}

int64_t pm_arena_peak_total(const pm_arena *a) {
    return a->peak_total;
}

void pm_arena_peak_clear(pm_arena *a) {
    memcpy(a->peak, a->live, sizeof a->peak);
    a->peak_total = a->live_total;
}

const void *pm_arena_span(const pm_arena *a, size_t *n_bytes) {
    *n_bytes = (a->high + huge_page - 1) / huge_page * huge_page;
    return a->base;
}

int64_t pm_arena_elsewhere(const pm_arena *a) {
    return a->elsewhere;
}

size_t pm_arena_room(const pm_arena *a) {
    return a->high - a->used;
}

int64_t pm_arena_fresh(const pm_arena *a) {
    return a->fresh;
}

int64_t pm_arena_asked(const pm_arena *a) {
    return a->asked;
}
