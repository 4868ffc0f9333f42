/* sweep_slurm.c - submitting a sweep to Slurm and gathering what its tasks did (sweep_slurm.h).
 *
 * Four jobs, each after any end of the one before: trials, gather, final runs, gather. What is chosen needs all trials of a method, and
 * those may lie in several shards; so the final runs' tasks read the gathered database. A task that was killed leaves its row
 * `running`; it becomes `failed` when its database is next opened by a task or gathered.
 */
#include "sweep_slurm.h"
#include "cmd.h"
#include "db_merge.h"
#include "fetch.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <glob.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PATH_CAP = 4096, SHARDS_DEFAULT_MAX = 32, ARGV_MAX = 512 };

/* ---- text ---- */

void pm_shell_quote(pm_buf *b, const char *word) {
    pm_buf_puts(b, "'");
    for (; *word; word++)
        if (*word == '\'')
            pm_buf_puts(b, "'\\''");
        else
            pm_buf_put(b, word, 1);
    pm_buf_puts(b, "'");
}

void pm_shard_ranges(const bool *need, int shards, pm_buf *b) {
    for (int s = 1, last; s <= shards; s = last + 1) {
        last = s;
        if (!need[s - 1]) continue;
        while (last < shards && need[last]) last++;
        pm_buf_printf(b, "%s%d", b->n ? "," : "", s);
        if (last > s) pm_buf_printf(b, "-%d", last);
    }
}

/* ---- where things lie ---- */

typedef struct place {
    char program[PATH_CAP], db[PATH_CAP], dir[PATH_CAP], plan[PATH_CAP], script[PATH_CAP], ids[PATH_CAP];
} place;

/* A job may start elsewhere. */
static pm_status absolute(const char *path, char out[PATH_CAP], pm_err *e) {
    char here[PATH_CAP];
    if (*path == '/' ? (size_t)snprintf(out, PATH_CAP, "%s", path) < PATH_CAP
                     : getcwd(here, sizeof here) && !pm_path_join(out, PATH_CAP, here, path, NULL))
        return PM_OK;
    return pm_fail(e, PM_EIO, "%.200s...: the name is too long", path);
}

static pm_status find_places(const char *db_path, place *p, pm_err *e) {
    ssize_t n = readlink("/proc/self/exe", p->program, sizeof p->program - 1);
    if (n <= 0) return pm_fail(e, PM_EIO, "this program's file: %s", strerror(errno));
    p->program[n] = 0;
    pm_status rc = absolute(db_path, p->db, e);
    if (!rc && (size_t)snprintf(p->dir, sizeof p->dir, "%s.slurm", p->db) >= sizeof p->dir)
        rc = pm_fail(e, PM_EIO, "%.200s...: the name is too long", db_path);
    if (!rc) rc = pm_path_join(p->plan, sizeof p->plan, p->dir, "plan.json", e);
    if (!rc) rc = pm_path_join(p->script, sizeof p->script, p->dir, "sweep.sh", e);
    return rc ? rc : pm_path_join(p->ids, sizeof p->ids, p->dir, "jobs", e);
}

static pm_status write_text(const char *path, const char *text, pm_err *e) {
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0) ok = false;
    return ok ? PM_OK : pm_fail(e, PM_EIO, "%s: %s", path, strerror(errno));
}

/* ---- gathering ---- */

/* Slurm's `*` is not ours: what glob gives a meaning is escaped. */
static void shard_pattern(const char *db_path, pm_buf *b) {
    for (const char *c = db_path; *c; c++) pm_buf_printf(b, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
    pm_buf_puts(b, ".slurm/shard-*.db");
}

static pm_status fold_shard(pm_db *into, const char *path, pm_err *e) {
    pm_merged n = {0};
    pm_status rc = pm_sweep_bury_idle(path, e);
    return rc ? rc : pm_db_merge(into, path, &n, e);
}

pm_status pm_slurm_gather(const char *db_path, pm_err *e) {
    pm_buf pattern = {0};
    pm_db *d = NULL;
    glob_t found;
    pm_status rc = pm_mkdir_parent(db_path, e);
    if (!rc) rc = pm_db_open(db_path, &d, e);
    if (rc) return rc;
    shard_pattern(db_path, &pattern);
    int got = glob(pattern.p, 0, NULL, &found);
    for (size_t i = 0; !got && i < found.gl_pathc && !rc; i++) rc = fold_shard(d, found.gl_pathv[i], e);
    if (!got) globfree(&found);
    pm_buf_free(&pattern);
    pm_db_close(d);
    return rc;
}

/* ---- Slurm's programs ---- */

static char *read_back(FILE *f) {
    pm_buf b = {0};
    rewind(f);
    pm_buf_read(&b, f);
    while (b.n && strchr("\n ", b.p[b.n - 1])) b.p[--b.n] = 0;
    return pm_buf_take(&b);
}

static pm_status not_started(const char *program, int why, pm_err *e) {
    pm_fail(e, PM_EIO, "start %s: %s", program, strerror(why));
    return pm_hint(e, "--launcher slurm wants Slurm's programs on the PATH; without them, --launcher local");
}

/* Its first line of complaint, as it says it. */
static pm_status refused(const char *program, FILE *err, pm_err *e) {
    char *said = read_back(err);
    said[strcspn(said, "\n")] = 0;
    size_t own = strlen(program);
    bool named = strncmp(said, program, own) == 0 && said[own] == ':';
    pm_fail(e, PM_EIO, "%s%s%.400s", named ? "" : program, named ? "" : ": ", *said ? said : "failed");
    free(said);
    return pm_hint(e, "--sbatch \"ARGS\" passes what this cluster wants; `sinfo` shows its partitions");
}

static pm_status spawn(const char *const *argv, FILE *out, FILE *err, int *status, pm_err *e) {
    union { /* it does not write to its strings, and says so too late for const */
        const char *const *given;
        char *const *taken;
    } v = {.given = argv};
    posix_spawn_file_actions_t to;
    pid_t pid;
    posix_spawn_file_actions_init(&to);
    posix_spawn_file_actions_adddup2(&to, fileno(out), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&to, fileno(err), STDERR_FILENO);
    int rc = posix_spawnp(&pid, argv[0], &to, NULL, v.taken, environ);
    posix_spawn_file_actions_destroy(&to);
    if (rc) return not_started(argv[0], rc, e);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR) {
    }
    return PM_OK;
}

/* *out: what it prints, the caller's. */
static pm_status call(const char *const *argv, char **out, pm_err *e) {
    FILE *o = tmpfile(), *x = tmpfile();
    int status = -1;
    pm_status rc = o && x ? spawn(argv, o, x, &status, e) : pm_fail(e, PM_EIO, "%s", strerror(errno));
    if (!rc && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) rc = refused(argv[0], x, e);
    *out = rc ? NULL : read_back(o);
    if (o) fclose(o);
    if (x) fclose(x);
    return rc;
}

/* Jobs of an earlier call would do the same runs again. An id that Slurm has forgotten is an error to squeue, and nothing to us. */
static pm_status check_queue(const place *p, pm_err *e) {
    char ids[256] = "", *queued = NULL;
    FILE *f = fopen(p->ids, "r");
    bool any = f && fgets(ids, sizeof ids, f);
    if (f) fclose(f);
    ids[strcspn(ids, "\n")] = 0;
    const char *argv[] = {"squeue", "--noheader", "--format=%i", "--jobs", ids, NULL};
    if (!any || call(argv, &queued, NULL) || !*queued) {
        free(queued);
        return PM_OK;
    }
    free(queued);
    pm_fail(e, PM_ECHECK, "jobs %s of this sweep are still queued or running", ids);
    return pm_hint(e, "wait for them, or end them first: scancel %s", ids);
}

/* ---- the script ---- */

static void put_line(pm_buf *b, const char *before, const char *word, const char *after) {
    pm_buf_puts(b, before);
    pm_shell_quote(b, word);
    pm_buf_puts(b, after);
}

static void script_text(const pm_sweeping *w, const pm_slurm_opts *o, const place *p, int shards, pm_buf *b) {
    pm_buf_printf(b,
                  "#!/bin/sh\n"
                  "# Sweep %s, written by `peftmeter sweep --launcher slurm`, which submits it four times:\n"
                  "#   sweep.sh tune, sweep.sh final   one task of an array: what its shard has of a stage\n"
                  "#   sweep.sh gather                 merges the shards' databases and says what is there\n"
                  "#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=%d\n#SBATCH --requeue\n#SBATCH "
                  "--open-mode=append\n",
                  w->plan->name, o->sweep.jobs);
    put_line(b, "program=", p->program, "\n");
    put_line(b, "plan=", p->plan, "\n");
    put_line(b, "db=", p->db, "\n");
    pm_buf_printf(b, "stage=$1\nset -- --jobs %d%s", o->sweep.jobs,
                  o->sweep.accept_failed ? " --accept-failed" : "");
    if (o->sweep.timeout_s > 0) pm_buf_printf(b, " --timeout %g", o->sweep.timeout_s);
    pm_buf_printf(
        b,
        "\nif [ \"$stage\" = gather ]; then\n"
        "    exec \"$program\" sweep \"$plan\" --db \"$db\" --gather \"$@\"\n"
        "fi\n"
        "exec \"$program\" sweep \"$plan\" --db \"$db.slurm/shard-$SLURM_ARRAY_TASK_ID.db\" --known "
        "\"$db\" \\\n"
        "    --stage \"$stage\" --shard \"$SLURM_ARRAY_TASK_ID/%d\" --quiet \"$@\"\n",
        shards);
}

/* ---- submitting ---- */

typedef struct batch {
    const char *what; /* the script's argument */
    pm_buf array;     /* "": no array */
    int runs;
    char id[64]; /* after it was submitted */
} batch;

typedef struct command {
    const char *argv[ARGV_MAX];
    char name[128], log[PATH_CAP + 64], array[PATH_CAP], after[96];
    char *words; /* the user's arguments, cut up */
} command;

/* In Slurm's file names % begins a pattern. */
static void log_option(const place *p, const batch *x, char *out, size_t cap) {
    size_t n = (size_t)snprintf(out, cap, "--output=");
    for (const char *c = p->dir; *c && n + 2 < cap; c++)
        n += (size_t)snprintf(out + n, cap - n, *c == '%' ? "%%%%" : "%c", *c);
    snprintf(out + n, cap - n, "/%s%s.log", x->what, x->array.n ? "-%a" : "");
}

static void make_command(const pm_sweeping *w, const pm_slurm_opts *o, const place *p, const batch *x,
                         const char *after, command *c) {
    pm_buf words = {0};
    int n = 0;
    snprintf(c->name, sizeof c->name, "--job-name=%s-%s", w->plan->name, x->what);
    log_option(p, x, c->log, sizeof c->log);
    c->argv[n++] = "sbatch";
    c->argv[n++] = "--parsable";
    c->argv[n++] = c->name;
    c->argv[n++] = c->log;
    for (int i = 0; i < o->n_args; i++) pm_buf_printf(&words, "%s ", o->args[i]);
    c->words = pm_buf_take(&words);
    for (char *rest = NULL, *word = strtok_r(c->words, " \t\n", &rest); word && n < ARGV_MAX - 8;
         word = strtok_r(NULL, " \t\n", &rest))
        c->argv[n++] = word;
    snprintf(c->array, sizeof c->array, "--array=%.4000s", x->array.p ? x->array.p : "");
    snprintf(c->after, sizeof c->after, "--dependency=afterany:%.64s", after ? after : "");
    if (x->array.n) c->argv[n++] = c->array;
    if (after) c->argv[n++] = c->after;
    c->argv[n++] = p->script;
    c->argv[n++] = x->what;
    c->argv[n] = NULL;
}

static void print_command(const command *c) {
    pm_buf b = {0};
    for (int i = 0; c->argv[i]; i++) {
        bool plain = !c->argv[i][strspn(c->argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                    "0123456789-_=./:,%")];
        pm_buf_puts(&b, i ? " " : "");
        if (plain)
            pm_buf_puts(&b, c->argv[i]);
        else
            pm_shell_quote(&b, c->argv[i]);
    }
    printf("%s\n", b.p);
    pm_buf_free(&b);
}

/* sbatch answers "ID" or "ID;CLUSTER". */
static pm_status submit_one(const command *c, batch *x, pm_err *e) {
    char *said = NULL;
    pm_status rc = call(c->argv, &said, e);
    if (rc) return rc;
    said[strcspn(said, ";\n")] = 0;
    bool fits = *said && (size_t)snprintf(x->id, sizeof x->id, "%s", said) < sizeof x->id;
    free(said);
    return fits ? PM_OK : pm_fail(e, PM_EIO, "sbatch: it gave no job id");
}

static void cancel(const batch *x, int n) {
    for (int i = 0; i < n; i++) {
        const char *argv[] = {"scancel", x[i].id, NULL};
        char *said;
        if (!call(argv, &said, NULL)) free(said);
    }
}

/* Each after any end of the one before; what one refusal leaves unfinished is withdrawn. */
static pm_status submit_all(const pm_sweeping *w, const pm_slurm_opts *o, const place *p, batch *x, int n,
                            pm_err *e) {
    pm_status rc = PM_OK;
    for (int i = 0; i < n && !rc; i++) {
        command c;
        char step[16];
        snprintf(step, sizeof step, "JOB%d", i);
        const char *after = !i ? NULL : o->dry ? step : x[i - 1].id;
        make_command(w, o, p, &x[i], after, &c);
        if (o->dry)
            print_command(&c);
        else
            rc = submit_one(&c, &x[i], e);
        free(c.words);
        if (rc) cancel(x, i);
    }
    return rc;
}

static void ids_text(const batch *x, int n, pm_buf *b) {
    for (int i = 0; i < n; i++) pm_buf_printf(b, "%s%s", i ? "," : "", x[i].id);
}

static pm_status write_files(const pm_sweeping *w, const place *p, const char *script, pm_err *e) {
    char *plan = cJSON_Print(w->plan->json);
    pm_status rc = pm_mkdirs(p->dir, e);
    if (!rc) rc = write_text(p->plan, plan, e);
    if (!rc) rc = write_text(p->script, script, e);
    if (!rc && chmod(p->script, 0755) != 0) rc = pm_fail(e, PM_EIO, "%s: %s", p->script, strerror(errno));
    cJSON_free(plan);
    return rc;
}

static void say(const pm_sweeping *w, const place *p, int shards, const batch *x, int n) {
    if (pm_global.quiet) return;
    printf("sweep %s: submitted in %d shards, %d runs there already\n", w->plan->name, shards, w->n_found);
    for (int i = 0; i < n; i++) {
        printf("  job %s: %s", x[i].id, x[i].what);
        if (x[i].array.n) printf(", %d runs, tasks %s", x[i].runs, x[i].array.p);
        printf("\n");
    }
    printf("  script, databases and logs in %s; the same command submits what is missing then\n", p->dir);
}

static void say_json(const pm_sweeping *w, const place *p, int shards, const batch *x, int n) {
    cJSON *j = cJSON_CreateObject(), *jobs = cJSON_CreateArray();
    cJSON_AddStringToObject(j, "sweep", w->plan->name);
    cJSON_AddNumberToObject(j, "shards", shards);
    cJSON_AddNumberToObject(j, "runs_found", w->n_found);
    cJSON_AddStringToObject(j, "script", p->script);
    for (int i = 0; i < n; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "id", x[i].id);
        cJSON_AddStringToObject(o, "what", x[i].what);
        cJSON_AddStringToObject(o, "array", x[i].array.p ? x[i].array.p : "");
        cJSON_AddNumberToObject(o, "runs", x[i].runs);
        cJSON_AddItemToArray(jobs, o);
    }
    cJSON_AddItemToObject(j, "jobs", jobs);
    pm_json_print(j);
}

/* Nothing is written before the queue is known to be free: a task that runs reads the script's plan. */
static pm_status launch(const pm_sweeping *w, const pm_slurm_opts *o, const place *p, int shards, batch *x,
                        int n, pm_err *e) {
    pm_buf script = {0}, ids = {0};
    script_text(w, o, p, shards, &script);
    pm_status rc = o->dry ? PM_OK : check_queue(p, e);
    if (o->dry) printf("%s\n", script.p);
    if (!rc && !o->dry) rc = write_files(w, p, script.p, e);
    if (!rc) rc = submit_all(w, o, p, x, n, e);
    if (!rc && !o->dry) {
        ids_text(x, n, &ids);
        rc = write_text(p->ids, ids.p, e);
        (pm_global.json ? say_json : say)(w, p, shards, x, n);
    }
    pm_buf_free(&script);
    pm_buf_free(&ids);
    return rc;
}

/* Trials and finals, as the plan has them. */
static int default_shards(const pm_sweeping *w) {
    int finals = 0;
    for (int i = 0; i < w->n_cells; i++) finals += pm_sweep_final_seeds(w, &w->cell[i]);
    int most = finals > w->n_tune ? finals : w->n_tune;
    return most < SHARDS_DEFAULT_MAX ? most : SHARDS_DEFAULT_MAX;
}

/* A stage that has something to do, and what gathers it. */
static void add_stage(const pm_sweeping *w, bool final, int shards, batch *x, int *n) {
    bool *need = pm_xalloc((size_t)shards * sizeof *need);
    int runs = pm_shard_needs(w, final, shards, need);
    if (runs) {
        x[*n] = (batch){.what = final ? "final" : "tune", .runs = runs};
        pm_shard_ranges(need, shards, &x[*n].array);
        x[*n + 1] = (batch){.what = "gather"};
        *n += 2;
    }
    free(need);
}

pm_status pm_slurm_submit(const pm_sweeping *w, const pm_slurm_opts *o, bool *submitted, pm_err *e) {
    place p;
    batch x[4] = {{0}};
    int n = 0, shards = o->shards ? o->shards : default_shards(w);
    pm_status rc = find_places(w->db_path, &p, e);
    if (rc) return rc;
    add_stage(w, false, shards, x, &n);
    add_stage(w, true, shards, x, &n);
    *submitted = n > 0;
    if (n) rc = launch(w, o, &p, shards, x, n, e);
    for (int i = 0; i < n; i++) pm_buf_free(&x[i].array);
    return rc;
}
