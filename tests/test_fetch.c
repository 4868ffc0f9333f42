/* test_fetch.c - downloads against a small HTTP server in a thread that breaks off, ignores Range, lies, or answers with errors.
 *
 * The server serves one body; each test sets what it does to the k-th request. Everything goes over a real socket through libcurl.
 */
#include "check.h"
#include "cmd.h"
#include "fetch.h"
#include "sha256.h"
#include "text.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY = 300000 };
static char body[BODY];
static char good[65];
static char dir[] = P_tmpdir "/pm_fetch_XXXXXX";

/* ---- the server ---- */

typedef enum behaviour {
    SERVE,
    BREAK_OFF,
    IGNORE_RANGE,
    BREAK_AND_IGNORE,
    WRONG_BYTES,
    NOT_FOUND,
    UNAVAILABLE
} behaviour;
static struct {
    int fd, port, requests;
    behaviour script[8]; /* the last one repeats */
    long asked_from[64]; /* Range start of each request, -1 without */
} srv;

static void script(behaviour a, behaviour b, behaviour c) {
    srv.requests = 0;
    srv.script[0] = a, srv.script[1] = b;
    for (int i = 2; i < 8; i++) srv.script[i] = c;
}

static void send_all(int c, const char *p, size_t n) {
    while (n) {
        ssize_t k = send(c, p, n, MSG_NOSIGNAL);
        if (k <= 0) return;
        p += k, n -= (size_t)k;
    }
}

static void send_status(int c, const char *line) {
    char h[128];
    snprintf(h, sizeof h, "HTTP/1.1 %s\r\nContent-Length: 9\r\nConnection: close\r\n\r\nan error\n", line);
    send_all(c, h, strlen(h));
}

static void send_body(int c, behaviour b, long from) {
    char h[256];
    bool ranged = from >= 0 && b != IGNORE_RANGE && b != BREAK_AND_IGNORE;
    long start = ranged ? from : 0;
    if (start >= BODY) {
        send_status(c, "416 Range Not Satisfiable");
        return;
    }
    if (ranged)
        snprintf(h, sizeof h,
                 "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %ld-%d/%d\r\nContent-Length: "
                 "%ld\r\nConnection: close\r\n\r\n",
                 start, BODY - 1, BODY, BODY - start);
    else
        snprintf(h, sizeof h, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", BODY);
    send_all(c, h, strlen(h));
    size_t n = (size_t)(BODY - start);
    if (b == BREAK_OFF || b == BREAK_AND_IGNORE) n /= 2;
    if (b != WRONG_BYTES) {
        send_all(c, body + start, n);
        return;
    }
    char *bad = malloc(n);
    memcpy(bad, body + start, n);
    bad[n / 2] ^= 1;
    send_all(c, bad, n);
    free(bad);
}

static void answer(int c) {
    char req[4096];
    size_t n = 0;
    while (n < sizeof req - 1) {
        ssize_t k = recv(c, req + n, sizeof req - 1 - n, 0);
        if (k <= 0) break;
        n += (size_t)k;
        req[n] = 0;
        if (strstr(req, "\r\n\r\n")) break;
    }
    const char *r = strstr(req, "Range: bytes=");
    long from = r ? strtol(r + 13, NULL, 10) : -1;
    int i = srv.requests++;
    srv.asked_from[i & 63] = from;
    behaviour b = srv.script[i < 7 ? i : 7];
    if (b == NOT_FOUND)
        send_status(c, "404 Not Found");
    else if (b == UNAVAILABLE)
        send_status(c, "503 Service Unavailable");
    else
        send_body(c, b, from);
}

static void *serve(void *unused) {
    for (;;) {
        int c = accept(srv.fd, NULL, NULL);
        if (c < 0) return unused;
        answer(c);
        shutdown(c, SHUT_WR);
        char drop[256];
        while (recv(c, drop, sizeof drop, 0) > 0) {
        }
        close(c);
    }
}

static bool start_server(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    srv.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (srv.fd < 0 || bind(srv.fd, (struct sockaddr *)&a, n) || listen(srv.fd, 8) ||
        getsockname(srv.fd, (struct sockaddr *)&a, &n))
        return false;
    srv.port = ntohs(a.sin_port);
    pthread_t t;
    return pthread_create(&t, NULL, serve, NULL) == 0;
}

/* ---- helpers ---- */

static pm_err e;
static char dest[256], part[300];

static const char *url(void) {
    static char u[64];
    snprintf(u, sizeof u, "http://127.0.0.1:%d/file.bin", srv.port);
    return u;
}

/* A fresh destination for each test. */
static void fresh(const char *name) {
    snprintf(dest, sizeof dest, "%s/%s/deep/file.bin", dir, name);
    snprintf(part, sizeof part, "%s.part", dest);
}

static void put_file(const char *path, const char *p, size_t n) {
    char parent[300];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    CHECK_OK(pm_mkdirs(parent, &e));
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(p, 1, n, f) == n);
    if (f) fclose(f);
}

static bool holds_body(const char *path) {
    char hex[65];
    return pm_file_sha256(path, hex, NULL) == PM_OK && strcmp(hex, good) == 0;
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

/* ---- tests ---- */

static void fetch_downloads_and_checks(void) {
    fresh("plain"), script(SERVE, SERVE, SERVE);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest) && !exists(part));
    CHECK_EQ_INT(srv.requests, 1);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e)); /* kept: the server is not asked again */
    CHECK_EQ_INT(srv.requests, 1);
}

static void fetch_resumes_where_it_broke_off(void) {
    fresh("resume"), script(BREAK_OFF, BREAK_OFF, SERVE);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest) && !exists(part));
    CHECK_EQ_INT(srv.requests, 3);
    CHECK_EQ_INT(srv.asked_from[0], -1);
    CHECK_EQ_INT(srv.asked_from[1], BODY / 2);
    CHECK_EQ_INT(srv.asked_from[2], BODY / 2 + BODY / 4);
}

static void fetch_continues_an_earlier_process(void) {
    fresh("earlier"), script(SERVE, SERVE, SERVE);
    put_file(part, body, 1000);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 1);
    CHECK_EQ_INT(srv.asked_from[0], 1000);
}

static void fetch_starts_over_when_range_is_ignored(void) {
    fresh("norange"), script(BREAK_AND_IGNORE, IGNORE_RANGE, IGNORE_RANGE);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 2);
    CHECK_EQ_INT(srv.asked_from[1], BODY / 2);
}

static void fetch_discards_stale_leftovers(void) {
    fresh("stale"), script(SERVE, SERVE, SERVE);
    char old[2000];
    memset(old, 'x', sizeof old);
    put_file(
        part, old,
        sizeof old); /* another version's beginning: the whole has the wrong hash once, then a fresh start */
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 2);

    fresh("overlong"), script(SERVE, SERVE, SERVE);
    char *longer = calloc(1, BODY + 5);
    put_file(part, longer, BODY + 5); /* longer than the file: 416, then a fresh start */
    free(longer);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.asked_from[0], BODY + 5);
    CHECK_EQ_INT(srv.asked_from[1], -1);
}

static void fetch_finishes_a_complete_part_without_asking(void) {
    fresh("complete"), script(NOT_FOUND, NOT_FOUND, NOT_FOUND);
    put_file(part, body, BODY);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 0);
}

static void fetch_refuses_wrong_bytes(void) {
    fresh("wrong"), script(WRONG_BYTES, WRONG_BYTES, WRONG_BYTES);
    put_file(dest, "mine", 4); /* what the user had stays */
    CHECK_EQ_INT(pm_fetch(url(), good, NULL, "file.bin", dest, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, good) && strstr(e.msg, "sha256 is "));
    struct stat s;
    CHECK(stat(dest, &s) == 0 && s.st_size == 4);
    CHECK(!exists(part));
    CHECK_EQ_INT(srv.requests, 1);
}

static void fetch_names_http_errors(void) {
    fresh("404"), script(NOT_FOUND, NOT_FOUND, NOT_FOUND);
    CHECK_EQ_INT(pm_fetch(url(), good, NULL, "file.bin", dest, &e), PM_EIO);
    CHECK(strstr(e.msg, "404") && strstr(e.hint, "--mirror"));
    CHECK_EQ_INT(srv.requests, 1); /* no retry: it will not appear */
    CHECK(!exists(dest) && !exists(part));

    fresh("503"), script(UNAVAILABLE, UNAVAILABLE, SERVE);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 3);
}

static void fetch_refuses_other_protocols(void) {
    fresh("proto");
    put_file(dest, body, 10);
    char file_url[300];
    snprintf(file_url, sizeof file_url, "file://%s", dest);
    CHECK_EQ_INT(pm_fetch(file_url, good, NULL, "file.bin", dest, &e), PM_EIO);
}

static void fetch_takes_the_mirror_first(void) {
    char mirror[300], src[400];
    snprintf(mirror, sizeof mirror, "%s/mirror", dir);
    snprintf(src, sizeof src, "%s/sub/file.bin", mirror);
    put_file(src, body, BODY);
    fresh("mirrored"), script(NOT_FOUND, NOT_FOUND, NOT_FOUND);
    CHECK_OK(pm_fetch(url(), good, mirror, "sub/file.bin", dest, &e));
    CHECK(holds_body(dest) && !exists(part));
    CHECK_EQ_INT(srv.requests, 0);

    put_file(src, body, BODY - 1); /* the mirror's copy is damaged: the internet is asked */
    fresh("mirrored2"), script(SERVE, SERVE, SERVE);
    CHECK_OK(pm_fetch(url(), good, mirror, "sub/file.bin", dest, &e));
    CHECK(holds_body(dest));
    CHECK_EQ_INT(srv.requests, 1);

    fresh("mirrored3"), script(NOT_FOUND, NOT_FOUND, NOT_FOUND);
    CHECK_EQ_INT(pm_fetch(url(), good, mirror, "sub/file.bin", dest, &e), PM_EIO);
    CHECK(strstr(e.hint, "sha256 differs"));
}

static void fetch_reports_a_full_disk(void) {
    if (!exists("/dev/full")) {
        SKIP("fetch_reports_a_full_disk", "no /dev/full");
        return;
    }
    fresh("full"), script(SERVE, SERVE, SERVE);
    put_file(dest, "x", 1); /* makes the folder */
    CHECK(symlink("/dev/full", part) == 0);
    CHECK_EQ_INT(pm_fetch(url(), good, NULL, "file.bin", dest, &e), PM_EIO);
    CHECK(strstr(e.msg, "No space left") && strstr(e.hint, "PEFTMETER_CACHE"));
    CHECK_EQ_INT(srv.requests, 1);
    unlink(part);
}

/* Two processes at once: both succeed and the file is whole. */
static void fetch_takes_turns(void) {
    fresh("turns"), script(SERVE, SERVE, SERVE);
    pid_t pid = fork();
    if (pid == 0) _exit(pm_fetch(url(), good, NULL, "file.bin", dest, &e) != PM_OK);
    CHECK_OK(pm_fetch(url(), good, NULL, "file.bin", dest, &e));
    int status = 1;
    waitpid(pid, &status, 0);
    CHECK_EQ_INT(status, 0);
    CHECK(holds_body(dest) && !exists(part));
    CHECK_EQ_INT(srv.requests, 1); /* the second one found the first one's file */
}

static void mkdirs_names_what_is_in_the_way(void) {
    char file[300], below[400];
    snprintf(file, sizeof file, "%s/in/the/way", dir);
    put_file(file, "x", 1);
    snprintf(below, sizeof below, "%s/sub", file);
    CHECK_EQ_INT(pm_mkdirs(below, &e), PM_EIO);
    CHECK(strstr(e.msg, "in/the/way"));
}

int main(void) {
    pm_global.quiet = true;
    setenv("no_proxy", "127.0.0.1", 1);
    for (int i = 0; i < BODY; i++) body[i] = (char)(i * 31 + i / 251);
    pm_sha256_of(body, BODY, good);
    if (!mkdtemp(dir) || !start_server()) {
        SKIP("test_fetch", "no temporary folder or no loopback socket");
        return check_done();
    }
    RUN(fetch_downloads_and_checks);
    RUN(fetch_resumes_where_it_broke_off);
    RUN(fetch_continues_an_earlier_process);
    RUN(fetch_starts_over_when_range_is_ignored);
    RUN(fetch_discards_stale_leftovers);
    RUN(fetch_finishes_a_complete_part_without_asking);
    RUN(fetch_refuses_wrong_bytes);
    RUN(fetch_names_http_errors);
    RUN(fetch_refuses_other_protocols);
    RUN(fetch_takes_the_mirror_first);
    RUN(fetch_reports_a_full_disk);
    RUN(fetch_takes_turns);
    RUN(mkdirs_names_what_is_in_the_way);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    if (system(cmd)) return 1;
    return check_done();
}
