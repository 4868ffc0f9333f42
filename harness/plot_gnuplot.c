/* plot_gnuplot.c - gnuplot as a child process without a shell. Its input and output are unnamed temporary files, so that neither side waits for
 * the other, and it reads no settings of the user (-d): the picture depends on the script alone.
 */
#include "plot_gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct files {
    FILE *in, *out, *err;
    int why[2]; /* a pipe: what exec said; closed by a successful one */
} files;

static bool open_files(files *f) {
    *f = (files){.in = tmpfile(), .out = tmpfile(), .err = tmpfile(), .why = {-1, -1}};
    if (!f->in || !f->out || !f->err || pipe(f->why) != 0) return false;
    fcntl(f->why[1], F_SETFD, FD_CLOEXEC);
    return true;
}

static void close_files(files *f) {
    FILE *const all[] = {f->in, f->out, f->err};
    for (int i = 0; i < 3; i++)
        if (all[i]) fclose(all[i]);
    for (int i = 0; i < 2; i++)
        if (f->why[i] >= 0) close(f->why[i]);
}

_Noreturn static void become(const files *f) {
    char program[] = "gnuplot", defaults[] = "-d", *argv[] = {program, defaults, NULL};
    setenv("LC_ALL", "C", 1);
    if (dup2(fileno(f->in), STDIN_FILENO) >= 0 && dup2(fileno(f->out), STDOUT_FILENO) >= 0 &&
        dup2(fileno(f->err), STDERR_FILENO) >= 0)
        execvp(program, argv);
    int why = errno;
    ssize_t told = write(f->why[1], &why, sizeof why);
    _exit(told == sizeof why ? 127 : 126);
}

static pm_status cannot_start(int why, pm_err *e) {
    pm_fail(e, PM_EIO, "gnuplot: start: %s", strerror(why));
    return pm_hint(e,
                   "figures are drawn by the package gnuplot (Debian: gnuplot-nox); `make deps` installs it");
}

static void read_all(FILE *f, pm_buf *out) {
    rewind(f);
    pm_buf_read(out, f);
}

/* The last line of what it said: the ones before it repeat the statement. */
static pm_status refused(FILE *said, pm_err *e) {
    pm_buf b = {0};
    read_all(said, &b);
    while (b.n && strchr(" \r\n", b.p[b.n - 1])) b.p[--b.n] = 0;
    const char *line = b.n ? strrchr(b.p, '\n') : NULL;
    line = line ? line + 1 : b.n ? b.p : "it ended without a word";
    pm_fail(e, PM_EIO, "gnuplot: draw: %.300s", line + strspn(line, " "));
    pm_buf_free(&b);
    return pm_hint(e,
                   "version 5.2 or later with the terminals svg and pngcairo is needed; `gnuplot --version`");
}

static pm_status wait_for(files *f, pid_t pid, pm_buf *out, pm_err *e) {
    int why = 0, status = 0;
    close(f->why[1]);
    f->why[1] = -1;
    bool failed = read(f->why[0], &why, sizeof why) == sizeof why;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (failed) return cannot_start(why, e);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return refused(f->err, e);
    size_t before = out->n;
    read_all(f->out, out);
    return out->n > before ? PM_OK : refused(f->err, e);
}

pm_status pm_gnuplot(const pm_buf *script, pm_buf *out, pm_err *e) {
    files f;
    pm_status s = PM_OK;
    if (!open_files(&f) || fwrite(script->p, 1, script->n, f.in) != script->n || fflush(f.in) != 0) {
        pm_fail(e, PM_EIO, "temporary file: write: %s", strerror(errno));
        s = pm_hint(e, "free some space in " P_tmpdir);
        close_files(&f);
        return s;
    }
    lseek(fileno(f.in), 0, SEEK_SET);
    pid_t pid = fork();
    if (pid == 0) become(&f);
    s = pid < 0 ? cannot_start(errno, e) : wait_for(&f, pid, out, e);
    close_files(&f);
    return s;
}
