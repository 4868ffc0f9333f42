/* resident.c - resident pages by what is mapped where (resident.h). */
#include "resident.h"
#include "gemm.h"
#include "text.h"
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_AT_ONCE = 512 };

/* Bit 63 of a page's entry says that it is in memory (Linux, Documentation/admin-guide/mm/pagemap.rst). */
static int64_t pages_present(int pagemap, uint64_t first, uint64_t n) {
    uint64_t entry[PAGES_AT_ONCE];
    int64_t present = 0;
    while (n) {
        uint64_t want = n < PAGES_AT_ONCE ? n : PAGES_AT_ONCE;
        ssize_t got = pread(pagemap, entry, want * sizeof *entry, (off_t)(first * sizeof *entry));
        if (got < (ssize_t)sizeof *entry) return -1;
        uint64_t read = (uint64_t)got / sizeof *entry;
        for (uint64_t i = 0; i < read; i++) present += (int64_t)(entry[i] >> 63);
        first += read;
        n -= read;
    }
    return present;
}

static int64_t bytes_present(int pagemap, uintptr_t from, uintptr_t to) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = from / page;
    int64_t pages = pages_present(pagemap, first, (to + page - 1) / page - first);
    return pages < 0 ? -1 : pages * (int64_t)page;
}

int64_t pm_resident_in(const void *p, size_t n_bytes) {
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0) return -1;
    int64_t bytes = bytes_present(pagemap, (uintptr_t)p, (uintptr_t)p + n_bytes);
    close(pagemap);
    return bytes;
}

/* ---- what is mapped ---- */

typedef struct mapping { /* a line of /proc/self/maps */
    uintptr_t from, to;
    uint64_t device, inode; /* inode 0: no file */
    bool code, heap;
} mapping;

typedef struct mappings {
    mapping *m;
    int n, cap;
} mappings;

static bool read_line(const char *line, mapping *m) {
    unsigned long from, to;
    unsigned long long inode;
    unsigned major, minor;
    char access[5], name[16] = "";
    if (sscanf(line, "%lx-%lx %4s %*x %x:%x %llu %15s", &from, &to, access, &major, &minor, &inode, name) < 6)
        return false;
    *m = (mapping){from, to, (uint64_t)major << 32 | minor, inode, access[2] == 'x', !strcmp(name, "[heap]")};
    return inode || m->heap || !name[0]; /* [vdso] and its kind are the kernel's */
}

static mappings read_mappings(void) {
    mappings x = {0};
    char *line = NULL;
    size_t room = 0;
    mapping m;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && getline(&line, &room, f) > 0) {
        if (!read_line(line, &m)) continue;
        if (x.n == x.cap) x.m = pm_xrealloc(x.m, (size_t)(x.cap = 2 * x.cap + 256) * sizeof *x.m);
        x.m[x.n++] = m;
    }
    free(line);
    if (f) fclose(f);
    return x;
}

/* Code that was made at run time, or any part of a file that has code in another. */
static bool is_program(const mappings *x, const mapping *m) {
    if (m->code || !m->inode) return m->code;
    for (const mapping *o = x->m; o < x->m + x->n; o++)
        if (o->code && o->inode == m->inode && o->device == m->device) return true;
    return false;
}

#ifdef __GLIBC__
/* size="N" behind a text's first or last place; 0: it is not there. */
static int64_t size_behind(const char *xml, const char *text, bool last) {
    const char *at = strstr(xml, text), *next = at;
    while (last && next && (next = strstr(next + 1, text))) at = next;
    at = at ? strstr(at, "size=\"") : NULL;
    return at ? strtoll(at + strlen("size=\""), NULL, 10) : 0;
}

/* What malloc has outside of [heap]: the arenas of other threads, and pieces so large that it maps them apart. malloc_info lists what it has
 * from the system arena by arena, [heap] first, and all of them last. */
static int64_t malloc_elsewhere(void) {
    char *xml = NULL;
    size_t n;
    FILE *f = open_memstream(&xml, &n);
    if (f) malloc_info(0, f), fclose(f);
    static const char arena[] = "<system type=\"current\"", large[] = "<total type=\"mmap\"";
    int64_t bytes =
        xml ? size_behind(xml, arena, true) - size_behind(xml, arena, false) + size_behind(xml, large, true)
            : 0;
    free(xml);
    return bytes;
}
#else
static int64_t malloc_elsewhere(void) {
    return 0;
}
#endif

pm_resident pm_resident_get(void) {
    pm_resident r = {-1, -1};
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    mappings x = read_mappings();
    if (pagemap >= 0 && x.n) r = (pm_resident){0, malloc_elsewhere()};
    for (const mapping *m = x.m; r.program >= 0 && m < x.m + x.n; m++) {
        if (!m->heap && !is_program(&x, m)) continue;
        int64_t bytes = bytes_present(pagemap, m->from, m->to);
        if (bytes < 0)
            r = (pm_resident){-1, -1};
        else
            *(m->heap ? &r.heap : &r.program) += bytes;
    }
    free(x.m);
    if (pagemap >= 0) close(pagemap);
    return r;
}

void pm_resident_give_back(void) {
    pm_gemm_scratch_free();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
