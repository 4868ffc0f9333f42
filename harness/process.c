/* process.c - starting and ending other programs (process.h). */
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static void set_environment(const char *const *env) {
    for (; env && *env; env++) {
        const char *value = strchr(*env, '=');
        if (!value) {
            unsetenv(*env);
            continue;
        }
        char *name = pm_xstrndup(*env, (size_t)(value - *env));
        setenv(name, value + 1, 1);
        free(name);
    }
}

/* In the child. */
_Noreturn static void become(const char *const *argv, const char *dir, const char *const *env, int in,
                             int out, int err) {
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    set_environment(env);
    bool ok = (!dir || chdir(dir) == 0) && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
              dup2(err, STDERR_FILENO) >= 0;
    union { /* execvp does not write to its strings, and says so too late for const */
        const char *const *given;
        char *const *taken;
    } v = {.given = argv};
    if (ok) execvp(argv[0], v.taken);
    _exit(127);
}

static void close_on_exec(int fd) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool make_pipe(int end[2]) {
    if (pipe(end) != 0) return false;
    close_on_exec(end[0]);
    close_on_exec(end[1]);
    return true;
}

static void close_two(const int end[2]) {
    for (int i = 0; i < 2; i++)
        if (end[i] >= 0) close(end[i]);
}

static pm_status cannot(const char *program, pm_err *e) {
    pm_fail(e, PM_EIO, "start %.200s: %s", program, strerror(errno));
    return pm_hint(e, "raise the limits (ulimit -u, ulimit -n)");
}

pm_status pm_process_start(const char *const *argv, const char *dir, const char *const *env, pm_process *p,
                           pm_err *e) {
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    signal(SIGPIPE, SIG_IGN); /* a child that died is seen where its answer is missing */
    *p = (pm_process){.err = tmpfile()};
    if (p->err) close_on_exec(fileno(p->err));
    bool ok = p->err && make_pipe(to) && make_pipe(from);
    p->pid = ok ? fork() : -1;
    if (p->pid == 0) become(argv, dir, env, to[0], from[1], fileno(p->err));
    if (p->pid < 0) {
        pm_status rc = cannot(argv[0], e);
        close_two(to);
        close_two(from);
        if (p->err) fclose(p->err);
        *p = (pm_process){0};
        return rc;
    }
    close(to[0]);
    close(from[1]);
    p->in = fdopen(to[1], "w");
    p->out = fdopen(from[0], "r");
    PM_ASSERT(p->in && p->out, "out of memory: the streams of %s", argv[0]);
    return PM_OK;
}

/* Its exit code once it has ended; 128 and the signal that ended it. */
static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int pm_process_end(pm_process *p, pm_buf *said) {
    if (!p->pid) return 0;
    fclose(p->in);
    fclose(p->out);
    int code = wait_for(p->pid);
    rewind(p->err);
    if (said) pm_buf_read(said, p->err);
    fclose(p->err);
    *p = (pm_process){0};
    return code;
}

pm_status pm_process_run(const char *const *argv, const char *dir, const char *const *env, pm_buf *out,
                         int *code, pm_err *e) {
    FILE *text = tmpfile();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (text) close_on_exec(fileno(text));
    pid_t pid = text && null >= 0 ? fork() : -1;
    if (pid == 0) become(argv, dir, env, null, fileno(text), fileno(text));
    pm_status rc = pid < 0 ? cannot(argv[0], e) : PM_OK;
    if (!rc) {
        *code = wait_for(pid);
        rewind(text);
        pm_buf_read(out, text);
    }
    if (null >= 0) close(null);
    if (text) fclose(text);
    return rc;
}

const char *pm_last_lines(const char *text, int n) {
    const char *p = text + strlen(text);
    if (p > text && p[-1] == '\n') p--;
    while (p > text && (p[-1] != '\n' || --n > 0)) p--;
    return p;
}
