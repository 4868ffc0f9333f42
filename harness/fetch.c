/* fetch.c - files from a mirror folder or the internet, checked by sha256 before they get their name.
 *
 * What: dest is either absent, what it was, or the bytes with the wanted hash; nothing in between. A download goes to dest.part,
 * which survives interruption (Ctrl-C, power) and is continued with a Range request; it is renamed only after its hash matched.
 * Why not CURLOPT_RESUME_FROM: it fails on servers that ignore Range; here such an answer (200 instead of 206) starts over.
 * Two processes that fetch the same file take turns (flock on dest.part).
 */
#include "fetch.h"
#include "progress.h"
#include "sha256.h"
#include "text.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5, BACKOFF_MS = 250, CONNECT_TIMEOUT_S = 20, STALL_TIMEOUT_S = 30 };

static const char disk_hint[] = "free some space, or set PEFTMETER_CACHE to a folder on another disk";

/* ---- files ---- */

pm_status pm_file_sha256(const char *path, char hex[65], pm_err *e) {
    FILE *f = fopen(path, "rb");
    if (!f) return pm_fail(e, PM_EIO, "open %s: %s", path, strerror(errno));
    enum { CHUNK = 1 << 16 };
    char *buf = pm_xalloc(CHUNK);
    pm_sha256 s;
    pm_sha256_init(&s);
    for (size_t n; (n = fread(buf, 1, CHUNK, f)) > 0;) pm_sha256_update(&s, buf, n);
    pm_status st = ferror(f) ? pm_fail(e, PM_EIO, "read %s: %s", path, strerror(errno)) : PM_OK;
    pm_sha256_hex(&s, hex);
    free(buf);
    fclose(f);
    return st;
}

/* A folder that exists is fine; anything else in the way is not. */
static pm_status mkdir_one(const char *path, pm_err *e) {
    struct stat st;
    if (mkdir(path, 0777) == 0) return PM_OK;
    int why = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return PM_OK;
    pm_fail(e, PM_EIO, "create folder %s: %s", path, strerror(why == EEXIST ? ENOTDIR : why));
    return pm_hint(e, "set PEFTMETER_CACHE to a folder that can be written");
}

pm_status pm_mkdirs(const char *path, pm_err *e) {
    char *p = pm_xstrndup(path, strlen(path));
    pm_status st = PM_OK;
    for (char *s = p + 1; *p && !st && (s = strchr(s, '/')); s++) {
        *s = 0;
        st = mkdir_one(p, e);
        *s = '/';
    }
    if (*p && !st) st = mkdir_one(p, e);
    free(p);
    return st;
}

pm_status pm_mkdir_parent(const char *path, pm_err *e) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return PM_OK;
    char *dir = pm_xstrndup(path, (size_t)(slash - path));
    pm_status st = pm_mkdirs(dir, e);
    free(dir);
    return st;
}

static bool has_hash(const char *path, const char *sha256) {
    char hex[65];
    return pm_file_sha256(path, hex, NULL) == PM_OK && strcasecmp(hex, sha256) == 0;
}

static pm_status write_all(int fd, const char *path, const char *p, size_t n, pm_err *e) {
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return pm_fail(e, PM_EIO, "write %s: %s", path, strerror(errno)), pm_hint(e, disk_hint);
        p += k, n -= (size_t)k;
    }
    return PM_OK;
}

/* On disk first, named after. */
static pm_status settle(int fd, const char *part, const char *dest, pm_err *e) {
    if (fsync(fd)) return pm_fail(e, PM_EIO, "write %s: %s", part, strerror(errno)), pm_hint(e, disk_hint);
    if (rename(part, dest)) return pm_fail(e, PM_EIO, "rename %s to %s: %s", part, dest, strerror(errno));
    return PM_OK;
}

/* ---- one download ---- */

typedef struct transfer {
    CURL *curl;
    const char *url, *part, *label;
    int fd;
    curl_off_t have; /* bytes in the .part */
    curl_off_t from; /* bytes asked to be skipped */
    bool answered;   /* the first body bytes of this attempt were placed */
    pm_progress progress;
    pm_err err; /* why the writer stopped */
} transfer;

/* Decides from the status line where the body goes: 206 continues, 200 starts over, anything else is no content. */
static bool place_body(transfer *t) {
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200 && code != 206) return false;
    if (code == 200) t->have = 0;
    if ((t->have != t->from && ftruncate(t->fd, t->have)) || lseek(t->fd, t->have, SEEK_SET) < 0) {
        pm_fail(&t->err, PM_EIO, "write %s: %s", t->part, strerror(errno));
        return false;
    }
    curl_off_t length = -1;
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    pm_progress_begin(&t->progress, t->label, length > 0 ? t->have + length : 0, "B");
    t->progress.first = t->progress.done = t->have;
    return t->answered = true;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    transfer *t = arg;
    n *= size;
    if (!t->answered && !place_body(t)) return t->err.code ? 0 : n; /* an error page is read and dropped */
    if (write_all(t->fd, t->part, p, n, &t->err)) return 0;
    t->have += (curl_off_t)n;
    return n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    transfer *t = arg;
    if (t->answered) pm_progress_update(&t->progress, t->have, NULL);
    return 0;
}

static void set_options(transfer *t) {
    CURL *c = t->curl;
    curl_easy_setopt(c, CURLOPT_URL, t->url);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "peftmeter");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
}

/* What one attempt came to. */
typedef enum outcome { DONE, TRY_AGAIN, START_OVER, GIVE_UP } outcome;

static outcome judge(transfer *t, CURLcode rc, pm_err *e) {
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (t->err.code) return *e = t->err, GIVE_UP;
    if (code == 416 && t->from > 0)
        return START_OVER; /* the .part is as long as the file or longer, and it is not the file */
    if (code >= 400) {
        pm_fail(e, PM_EIO, "download %s: the server answered HTTP %ld", t->url, code);
        pm_hint(e, "the file may have moved: get it by hand and use --mirror DIR with %s in it", t->label);
        return code >= 500 || code == 408 || code == 429 ? TRY_AGAIN : GIVE_UP;
    }
    if (rc == CURLE_OK && t->answered) return DONE;
    pm_fail(e, PM_EIO, "download %s: %s", t->url, rc ? curl_easy_strerror(rc) : "an empty answer");
    pm_hint(e, "run the same command again to continue, or use --mirror DIR");
    bool hopeless =
        rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT || rc == CURLE_PEER_FAILED_VERIFICATION;
    return hopeless ? GIVE_UP : TRY_AGAIN;
}

static outcome attempt(transfer *t, pm_err *e) {
    char range[32];
    t->have = t->from = lseek(t->fd, 0, SEEK_END);
    t->answered = false;
    snprintf(range, sizeof range, "%lld-", (long long)t->from);
    curl_easy_setopt(t->curl, CURLOPT_RANGE, t->from > 0 ? range : NULL);
    CURLcode rc = curl_easy_perform(t->curl);
    if (t->answered) pm_progress_update(&t->progress, t->have, NULL), pm_progress_end(&t->progress);
    return judge(t, rc, e);
}

static void pause_ms(long ms) {
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

/* Attempts until the .part is complete; an attempt that brought bytes does not count against the limit. */
static pm_status download(transfer *t, pm_err *e) {
    for (int failed = 0; failed < TRIES;) {
        outcome o = attempt(t, e);
        if (o == DONE) return PM_OK;
        if (o == GIVE_UP) return e->code;
        if (o == START_OVER && ftruncate(t->fd, 0))
            return pm_fail(e, PM_EIO, "write %s: %s", t->part, strerror(errno));
        failed = t->have > t->from ? 1 : failed + 1;
        if (failed < TRIES) pause_ms((long)BACKOFF_MS << failed);
    }
    return e->code;
}

/* Downloads and checks; bytes left over from an earlier version of the file get one fresh start. */
static pm_status download_checked(transfer *t, const char *sha256, pm_err *e) {
    char hex[65];
    for (;;) {
        bool resumed = lseek(t->fd, 0, SEEK_END) > 0;
        pm_status st = download(t, e);
        if (st) return st;
        if ((st = pm_file_sha256(t->part, hex, e))) return st;
        if (strcasecmp(hex, sha256) == 0) return PM_OK;
        if (ftruncate(t->fd, 0)) return pm_fail(e, PM_EIO, "write %s: %s", t->part, strerror(errno));
        if (resumed) continue;
        pm_fail(e, PM_EFORMAT, "%s: sha256 is %s, want %s", t->url, hex, sha256);
        return pm_hint(e, "the server's file changed or was damaged on the way; nothing was kept. Try again, "
                          "or use --mirror DIR");
    }
}

/* Opens dest.part and waits for its lock; reopens when another process has renamed the file away meanwhile. */
static pm_status open_part(const char *part, int *fd, pm_err *e) {
    struct stat mine, named;
    for (;;) {
        *fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0) return pm_fail(e, PM_EIO, "create %s: %s", part, strerror(errno)), pm_hint(e, disk_hint);
        if (flock(*fd, LOCK_EX) || fstat(*fd, &mine)) {
            close(*fd);
            return pm_fail(e, PM_EIO, "lock %s: %s", part, strerror(errno));
        }
        if (stat(part, &named) == 0 && named.st_ino == mine.st_ino && named.st_dev == mine.st_dev)
            return PM_OK;
        close(*fd);
    }
}

static pm_status from_url(transfer *t, const char *sha256, const char *dest, pm_err *e) {
    pm_err mine = {0};
    t->curl = curl_easy_init();
    if (!t->curl) return pm_fail(e, PM_EIO, "download %s: libcurl does not start", t->url);
    set_options(t);
    bool complete = lseek(t->fd, 0, SEEK_END) > 0 && has_hash(t->part, sha256);
    pm_status st = complete ? PM_OK : download_checked(t, sha256, &mine);
    curl_easy_cleanup(t->curl);
    if (!st) return settle(t->fd, t->part, dest, e);
    if (e) *e = mine;
    return st;
}

/* ---- the mirror ---- */

static pm_status copy_into(int fd, const char *part, const char *src, pm_err *e) {
    int in = open(src, O_RDONLY | O_CLOEXEC);
    if (in < 0) return pm_fail(e, PM_EIO, "open %s: %s", src, strerror(errno));
    enum { CHUNK = 1 << 16 };
    char *buf = pm_xalloc(CHUNK);
    pm_status st = ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET)
                       ? pm_fail(e, PM_EIO, "write %s: %s", part, strerror(errno))
                       : PM_OK;
    ssize_t n = 0;
    while (!st && (n = read(in, buf, CHUNK)) > 0) st = write_all(fd, part, buf, (size_t)n, e);
    if (!st && n < 0) st = pm_fail(e, PM_EIO, "read %s: %s", src, strerror(errno));
    free(buf);
    close(in);
    return st;
}

/* *taken: the mirror had the file with the right hash and dest holds it now. A file that differs is passed over. */
static pm_status from_mirror(int fd, const char *part, const char *src, const char *sha256, const char *dest,
                             bool *taken, pm_err *e) {
    if (!has_hash(src, sha256)) return PM_OK;
    pm_status st = copy_into(fd, part, src, e);
    if (!st && has_hash(part, sha256)) st = settle(fd, part, dest, e), *taken = !st;
    return st;
}

pm_status pm_fetch(const char *url, const char *sha256, const char *mirror_dir, const char *rel,
                   const char *dest, pm_err *e) {
    if (has_hash(dest, sha256)) return PM_OK;
    char part[4096], src[4096];
    if ((size_t)snprintf(part, sizeof part, "%s.part", dest) >= sizeof part)
        return pm_fail(e, PM_EIO, "path too long: %.300s", dest);
    transfer t = {.url = url, .part = part, .label = rel};
    bool taken = false;
    pm_status st = pm_mkdir_parent(dest, e);
    if (!st && mirror_dir) st = pm_path_join(src, sizeof src, mirror_dir, rel, e);
    if (!st) st = open_part(part, &t.fd, e);
    if (st) return st;
    if (has_hash(dest, sha256))
        taken = true, unlink(part); /* another process was faster */
    else if (mirror_dir)
        st = from_mirror(t.fd, part, src, sha256, dest, &taken, e);
    if (!st && !taken && !url) {
        pm_fail(e, PM_EIO, "%s: not in %s with sha256 %s, and it has no url", rel,
                mirror_dir ? mirror_dir : "a mirror", sha256);
        st = pm_hint(e, "give the folder that holds it with --mirror DIR");
    } else if (!st && !taken)
        st = from_url(&t, sha256, dest, e);
    if (st && mirror_dir && access(src, F_OK) == 0)
        pm_hint(e, "%s is there, but its sha256 differs from the manifest's", src);
    struct stat left;
    if (st && fstat(t.fd, &left) == 0 && left.st_size == 0) unlink(part); /* nothing worth resuming */
    close(t.fd);
    return st;
}
