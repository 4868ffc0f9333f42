/* pool.c - starting, watching and burying child processes (pool.h). */
#include "pool.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define GRACE_S 10.0 /* from SIGTERM to SIGKILL: a step may take so long */

/* How often the kernel has killed a process for want of memory since it started; -1: it does not say. */
static int64_t count_oom_kills(void) {
    FILE *f = fopen("/proc/vmstat", "r");
    char line[128];
    long long n = -1;
    while (f && n < 0 && fgets(line, sizeof line, f)) sscanf(line, "oom_kill %lld", &n);
    if (f) fclose(f);
    return n;
}

/* Only so that a sleep ends when a child does. */
static void on_child(int sig) {
    (void)sig;
}

void pm_pool_init(pm_pool *p, int size, double timeout_s) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_child;
    a.sa_flags = SA_NOCLDSTOP;
    sigemptyset(&a.sa_mask);
    sigaction(SIGCHLD, &a, NULL);
    *p = (pm_pool){.child = pm_xalloc((size_t)size * sizeof *p->child), .size = size, .timeout_s = timeout_s};
}

/* ---- starting ---- */

/* In the child. Its own process group: Ctrl-C reaches the parent, which says when to end. */
_Noreturn static void become(const char *const *argv, FILE *out, FILE *err, pid_t parent) {
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    bool ok = getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
              dup2(fileno(out), STDOUT_FILENO) >= 0 && dup2(fileno(err), STDERR_FILENO) >= 0;
    if (null > STDERR_FILENO) close(null);
    union { /* execv does not write to its strings, and says so too late for const */
        const char *const *given;
        char *const *taken;
    } v = {.given = argv};
    if (ok) execv("/proc/self/exe", v.taken);
    if (ok) execvp(argv[0], v.taken);
    _exit(127);
}

static FILE *scratch_file(void) {
    FILE *f = tmpfile();
    if (f) fcntl(fileno(f), F_SETFD, FD_CLOEXEC); /* each child gets its own two and no other's */
    return f;
}

static void close_files(pm_child *c) {
    if (c->out) fclose(c->out);
    if (c->err) fclose(c->err);
    *c = (pm_child){0};
}

pm_status pm_pool_start(pm_pool *p, const char *const *argv, void *job, pm_err *e) {
    pm_child *c = p->child;
    PM_ASSERT(p->n < p->size, "%d children in %d places", p->n, p->size);
    while (c->pid) c++;
    double deadline = p->timeout_s > 0 ? pm_now_s() + p->timeout_s : (double)INFINITY;
    pid_t parent = getpid();
    *c = (pm_child){
        .job = job, .out = scratch_file(), .err = scratch_file(), .begun = pm_now_s(), .deadline = deadline};
    p->oom_kills = count_oom_kills();
    if (c->out && c->err) c->pid = fork();
    if (c->pid == 0 && c->out && c->err) become(argv, c->out, c->err, parent);
    if (c->pid > 0) {
        p->n++;
        return PM_OK;
    }
    pm_fail(e, PM_EIO, "start a process: %s", strerror(errno));
    close_files(c);
    return pm_hint(e, "fewer at once (--jobs), or raise the limits (ulimit -u, ulimit -n)");
}

/* ---- ending ---- */

static char *read_all(FILE *f) {
    pm_buf b = {0};
    rewind(f);
    pm_buf_read(&b, f);
    return pm_buf_take(&b);
}

/* Where it stands in a complaint about want of memory, ours, the system's or C++'s; NULL: it is about something else. */
static const char *no_memory(const char *line) {
    static const char *const words[] = {"out of memory", "annot allocate memory", "bad_alloc"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *found = strstr(line, words[i]);
        if (found) return found;
    }
    return NULL;
}

/* The last line that is no hint: it says why it ended. */
static void telling_line(FILE *f, char *out, size_t cap) {
    char *text = read_all(f), *rest = NULL;
    *out = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, "hint: ", strlen("hint: ")) != 0) snprintf(out, cap, "%s", line);
    free(text);
}

static void explain_signal(const pm_pool *p, int sig, const char *said, pm_ended *out) {
    if (sig == SIGKILL && count_oom_kills() > p->oom_kills)
        snprintf(out->why, sizeof out->why, "out of memory: killed by the kernel");
    else if (sig == SIGKILL || sig == SIGTERM)
        snprintf(out->why, sizeof out->why, "killed by signal %d (%s)", sig, strsignal(sig));
    else
        snprintf(out->why, sizeof out->why, "crashed: signal %d (%s)%s%.160s", sig, strsignal(sig),
                 *said ? ": " : "", said);
}

/* "out of memory: arena step: ..." of what a process said about it. */
static void explain_memory(const char *said, pm_ended *out) {
    static const char ours[] = "out of memory: ";
    const char *from = no_memory(said);
    if (strncmp(from, ours, strlen(ours)) == 0) from += strlen(ours);
    snprintf(out->why, sizeof out->why, "%s%.200s", ours, from);
}

static void explain(const pm_pool *p, const pm_child *c, int status, pm_ended *out) {
    char said[256];
    telling_line(c->err, said, sizeof said);
    bool killed = WIFSIGNALED(status), known = WIFEXITED(status) && WEXITSTATUS(status) <= 3;
    out->how = c->late ? PM_ENDED_LATE : known ? PM_ENDED : PM_ENDED_BAD;
    if (c->late)
        snprintf(out->why, sizeof out->why, "took longer than %g s", p->timeout_s);
    else if (no_memory(said))
        explain_memory(said, out);
    else if (killed)
        explain_signal(p, WTERMSIG(status), said, out);
    else
        snprintf(out->why, sizeof out->why, "ended with exit code %d%s%.180s", WEXITSTATUS(status),
                 *said ? ": " : "", said);
}

static bool reap(pm_pool *p, pm_ended *out) {
    for (pm_child *c = p->child; c < p->child + p->size; c++) {
        int status;
        if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid) continue;
        *out = (pm_ended){.job = c->job, .wall_s = pm_now_s() - c->begun};
        explain(p, c, status, out);
        out->out = read_all(c->out);
        close_files(c);
        p->n--;
        return true;
    }
    return false;
}

static void end_child(pm_child *c, double now) {
    kill(c->pid, c->told ? SIGKILL : SIGTERM);
    c->told = true;
    c->deadline = now + GRACE_S;
}

static void enforce_deadlines(pm_pool *p) {
    double now = pm_now_s();
    for (pm_child *c = p->child; c < p->child + p->size; c++) {
        if (!c->pid || now < c->deadline) continue;
        c->late = c->late || !c->told;
        end_child(c, now);
    }
}

bool pm_pool_wait(pm_pool *p, double most_s, pm_ended *out) {
    const double tick_s = 0.05; /* a child that ends between the look and the sleep is seen after one */
    double end = pm_now_s() + most_s;
    while (p->n) {
        if (reap(p, out)) return true;
        enforce_deadlines(p);
        if (pm_now_s() >= end) return false;
        struct timespec t = {0, (long)(tick_s * 1e9)};
        nanosleep(&t, NULL);
    }
    return false;
}

void pm_pool_stop(pm_pool *p) {
    double now = pm_now_s();
    for (pm_child *c = p->child; c < p->child + p->size; c++)
        if (c->pid && !c->told) end_child(c, now);
}

void pm_pool_free(pm_pool *p) {
    for (pm_child *c = p->child; c < p->child + p->size; c++) {
        if (!c->pid) continue;
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        close_files(c);
    }
    free(p->child);
    *p = (pm_pool){0};
}
