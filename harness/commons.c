/* commons.c - a table of keys and blocks in one anonymous file (commons.h).
 *
 * The file: a header, ENTRIES entries, then blocks, each from a page's start. Nothing but an entry's state ever changes once it is set.
 * Locks are the kernel's (fcntl), on bytes of the file: byte 0 for the table, byte 1 + i for who fills entry i. So the end of a process, by
 * whatever signal, frees what it held, and the next that waits for the block finds it unfilled and fills it.
 */
#define _GNU_SOURCE /* memfd_create */
#include "commons.h"
#include "host.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 4096, NONE = -1 };
static const size_t PAGE = 65536; /* at least the machine's: a block is mapped by itself */

typedef struct entry {
    char key[PM_COMMON_KEY];
    uint64_t offset, n_bytes; /* n_bytes 0: not whole yet */
} entry;

typedef struct header {
    char build[128]; /* who may read it */
    uint64_t used;   /* where the next block goes */
    uint32_t n;
    entry at[ENTRIES];
} header;

typedef struct commons {
    pm_common face; /* first: a pm_common * is a commons * */
    int fd;
    header *table;
    const void *mapped[ENTRIES]; /* an entry is mapped once: a second time would count twice */
    int claimed;                 /* the entry that this process is to fill, or NONE */
    void *window;                /* where it is written */
    uint64_t offset, n_bytes;
} commons;

/* ---- locks ---- */

/* type: F_WRLCK or F_UNLCK. Waits, and is not kept from waiting by a signal. */
static bool lock(const commons *c, int byte, short type) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int rc;
    do rc = fcntl(c->fd, F_SETLKW, &l);
    while (rc && errno == EINTR);
    return rc == 0;
}

static bool lock_table(const commons *c) {
    return lock(c, 0, F_WRLCK);
}

static void unlock_table(const commons *c) {
    lock(c, 0, F_UNLCK);
}

/* ---- the file ---- */

static size_t pages(size_t n) {
    return (n + PAGE - 1) / PAGE * PAGE;
}

static void put_build(char *out, size_t cap) {
    snprintf(out, cap, "peftmeter %s %.40s%s, %zu-byte numbers", pm_version, pm_commit,
             pm_dirty ? " changed" : "", sizeof(real));
}

static int anonymous_file(void) {
    int fd = NONE;
#ifdef MFD_CLOEXEC
    fd = memfd_create("peftmeter-common", 0);
#endif
    if (fd >= 0) return fd;
    FILE *f = tmpfile();
    fd = f ? fcntl(fileno(f), F_DUPFD, STDERR_FILENO + 1) : NONE; /* inherited, as memfd_create's */
    if (f) fclose(f);
    return fd;
}

int pm_commons_create(void) {
    header h = {.used = pages(sizeof h)};
    put_build(h.build, sizeof h.build);
    int fd = anonymous_file();
    if (fd < 0) return NONE;
    if (posix_fallocate(fd, 0, (off_t)h.used) == 0 && pwrite(fd, &h, sizeof h, 0) == (ssize_t)sizeof h)
        return fd;
    close(fd);
    return NONE;
}

/* The table of a file that is what this build writes; NULL: it is not. */
static header *map_table(int fd) {
    struct stat st;
    char build[sizeof((header *)NULL)->build];
    put_build(build, sizeof build);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < pages(sizeof(header)))
        return NULL;
    header *h = mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (h == MAP_FAILED) return NULL;
    if (strncmp(h->build, build, sizeof build) == 0 && h->n <= ENTRIES) return h;
    munmap(h, sizeof *h);
    return NULL;
}

/* Entry i's block for reading, all of it at once: whoever asks reads it all. NULL where the entry and the file do not agree. */
static const void *map_block(commons *c, int i) {
    struct stat st;
    const entry *x = &c->table->at[i];
    if (c->mapped[i]) return c->mapped[i];
    if (fstat(c->fd, &st) || x->offset % PAGE || x->offset < pages(sizeof(header)) ||
        x->offset > (uint64_t)st.st_size || x->n_bytes > (uint64_t)st.st_size - x->offset)
        return NULL;
    void *p = mmap(NULL, x->n_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, c->fd, (off_t)x->offset);
    return c->mapped[i] = p == MAP_FAILED ? NULL : p;
}

/* ---- find, room, done, drop ---- */

/* The key's entry, added where there is none; NONE: the table is full, or the key too long. The table is locked. */
static int entry_of(header *h, const char *key) {
    for (int i = 0; i < (int)h->n; i++)
        if (strncmp(h->at[i].key, key, PM_COMMON_KEY) == 0) return i;
    if (h->n >= ENTRIES || strlen(key) >= PM_COMMON_KEY) return NONE;
    snprintf(h->at[h->n].key, PM_COMMON_KEY, "%s", key);
    return (int)h->n++;
}

static const void *find(pm_common *face, const char *key, size_t *n_bytes) {
    commons *c = (commons *)face;
    PM_ASSERT(c->claimed == NONE, "%s is asked for while %s is made", key, c->table->at[c->claimed].key);
    if (!lock_table(c)) return NULL;
    int i = entry_of(c->table, key);
    bool whole = i != NONE && c->table->at[i].n_bytes;
    unlock_table(c);
    if (i == NONE) return NULL;
    if (!whole) {
        if (!lock(c, 1 + i, F_WRLCK)) return NULL; /* until nobody is filling it */
        if (!c->table->at[i].n_bytes) return c->claimed = i, NULL;
        lock(c, 1 + i, F_UNLCK);
    }
    *n_bytes = c->table->at[i].n_bytes;
    return map_block(c, i);
}

static void give_up(pm_common *face) {
    commons *c = (commons *)face;
    if (c->window) munmap(c->window, c->n_bytes);
    c->window = NULL;
    if (c->claimed != NONE) lock(c, 1 + c->claimed, F_UNLCK);
    c->claimed = NONE;
}

/* Pages are taken at once: running out of them is an answer here, and a signal when they are first written. */
static bool reserve(commons *c, size_t n_bytes) {
    if (!lock_table(c)) return false;
    c->offset = c->table->used;
    c->n_bytes = n_bytes;
    bool ok = posix_fallocate(c->fd, (off_t)c->offset, (off_t)n_bytes) == 0;
    if (ok) c->table->used += pages(n_bytes);
    unlock_table(c);
    return ok;
}

static void *room(pm_common *face, size_t n_bytes) {
    commons *c = (commons *)face;
    if (c->claimed == NONE) return NULL;
    void *p = MAP_FAILED;
    if (n_bytes && n_bytes < SIZE_MAX / 4 && reserve(c, n_bytes))
        p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, (off_t)c->offset);
    if (p != MAP_FAILED) return c->window = p;
    give_up(face);
    return NULL;
}

static const void *done(pm_common *face) {
    commons *c = (commons *)face;
    int i = c->claimed;
    PM_ASSERT(i != NONE && c->window, "nothing was written");
    bool locked = lock_table(c);
    if (locked) {
        c->table->at[i].offset = c->offset;
        c->table->at[i].n_bytes = c->n_bytes;
        unlock_table(c);
    }
    give_up(face);
    return locked ? map_block(c, i) : NULL;
}

/* ---- from outside ---- */

pm_common *pm_commons_open(int fd) {
    header *table = map_table(fd);
    if (!table) return NULL;
    commons *c = pm_xalloc(sizeof *c);
    *c = (commons){.face = {find, room, done, give_up}, .fd = fd, .table = table, .claimed = NONE};
    return &c->face;
}

void pm_commons_close(pm_common *face) {
    commons *c = (commons *)face;
    if (!c) return;
    give_up(face);
    for (int i = 0; i < ENTRIES; i++)
        if (c->mapped[i]) munmap((void *)(uintptr_t)c->mapped[i], c->table->at[i].n_bytes);
    munmap(c->table, sizeof *c->table);
    free(c);
}

int64_t pm_commons_bytes(int fd) {
    header *h = map_table(fd);
    int64_t sum = 0;
    for (uint32_t i = 0; h && i < h->n; i++) sum += (int64_t)h->at[i].n_bytes;
    if (h) munmap(h, sizeof *h);
    return sum;
}

static pm_common *joined;

void pm_commons_join(int fd) {
    pm_common *c = pm_commons_open(fd);
    if (c) joined = c;
}

pm_common *pm_commons_joined(void) {
    return joined;
}
