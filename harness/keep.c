/* keep.c - one file a key under <cache>/computed: a header with length and checksum, then the bytes. A damaged file counts as absent and is
 * written again; a disk that is full or read-only costs time, never the run. Files are mapped, not copied, so runs beside each other
 * share the pages. */
#include "keep.h"
#include "bytes.h"
#include "cmd.h"
#include "fetch.h"
#include "text.h"
#include "weights.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HOUR_S = 3600 };
static const char MAGIC[8] = "pmkeep1";

typedef struct header { /* 64 bytes: what follows is aligned as arenas align */
    char magic[8];
    uint64_t n_bytes, checksum, unused[5];
} header;

typedef struct mapped {
    char key[128];
    pm_map map;
    struct mapped *next;
} mapped;

typedef struct keep {
    pm_cache face; /* first: a pm_cache * is a keep * */
    char dir[1024];
    mapped *maps;
} keep;

static bool path_of(const keep *k, const char *key, char *out, size_t cap) {
    return !pm_path_join(out, cap, k->dir, key, NULL);
}

static bool is_whole(const pm_map *map, size_t n_bytes) {
    header h;
    if (map->n_bytes != sizeof h + n_bytes) return false;
    memcpy(&h, map->p, sizeof h);
    return !memcmp(h.magic, MAGIC, sizeof MAGIC) && h.n_bytes == n_bytes &&
           h.checksum == pm_checksum(map->p + sizeof h, n_bytes);
}

/* What was found before: a second copy of the pages would count twice in the process's memory. */
static const mapped *known(keep *k, const char *key, size_t n_bytes) {
    const mapped *m;
#pragma omp critical(pm_keep)
    for (m = k->maps; m; m = m->next)
        if (strcmp(m->key, key) == 0 && m->map.n_bytes == sizeof(header) + n_bytes) break;
    return m;
}

static const mapped *open_file(keep *k, const char *key, size_t n_bytes) {
    char path[2048];
    pm_map map;
    if (strlen(key) >= sizeof k->maps->key || !path_of(k, key, path, sizeof path) ||
        pm_map_open(path, &map, NULL))
        return NULL;
    if (!is_whole(&map, n_bytes)) {
        pm_map_close(&map);
        return NULL;
    }
    mapped *m = pm_xcalloc(1, sizeof *m);
    snprintf(m->key, sizeof m->key, "%s", key);
    m->map = map;
#pragma omp critical(pm_keep)
    {
        m->next = k->maps;
        k->maps = m;
    }
    return m;
}

static const void *find(pm_cache *c, const char *key, size_t n_bytes) {
    keep *k = (keep *)c;
    const mapped *m = known(k, key, n_bytes);
    if (!m) m = open_file(k, key, n_bytes);
    return m ? m->map.p + sizeof(header) : NULL;
}

/* A process that was killed while it wrote leaves its unfinished file: half a gigabyte of a small model. One that nobody has written to for an
 * hour is such. Age tells, not the process: others on a network's file system have numbers of their own. */
static void remove_unfinished(const keep *k) {
    DIR *d = opendir(k->dir);
    char path[2048];
    struct stat st;
    for (const struct dirent *f; d && (f = readdir(d));)
        if (strstr(f->d_name, ".tmp.") && path_of(k, f->d_name, path, sizeof path) && !stat(path, &st) &&
            st.st_mtime + HOUR_S < time(NULL))
            unlink(path);
    if (d) closedir(d);
}

static void put(pm_cache *c, const char *key, const void *p, size_t n_bytes) {
    const keep *k = (const keep *)c;
    char path[2048];
    pm_atomic a;
    if (!path_of(k, key, path, sizeof path) || pm_mkdirs(k->dir, NULL) || pm_atomic_open(&a, path, NULL))
        return;
    remove_unfinished(k);
    header h = {.n_bytes = n_bytes, .checksum = pm_checksum(p, n_bytes)};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    bool ok = fwrite(&h, sizeof h, 1, a.f) == 1 && fwrite(p, 1, n_bytes, a.f) == n_bytes;
    pm_atomic_close(&a, ok, NULL);
}

pm_cache *pm_keep_open(void) {
    char cache[1000];
    keep *k = pm_xcalloc(1, sizeof *k);
    k->face = (pm_cache){find, put};
    if (!pm_cache_dir(cache, sizeof cache, NULL) &&
        !pm_path_join(k->dir, sizeof k->dir, cache, "computed", NULL))
        return &k->face;
    free(k);
    return NULL;
}

void pm_keep_close(pm_cache *c) {
    keep *k = (keep *)c;
    while (k && k->maps) {
        mapped *m = k->maps;
        k->maps = m->next;
        pm_map_close(&m->map);
        free(m);
    }
    free(k);
}
