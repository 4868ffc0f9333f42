/* test_cli.c - option tables, exit codes, help and interrupts: what every subcommand builds on. */
#include "cmd.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *db;
static bool flag;
static pm_list sets;
static const pm_opt opts[] = {{.name = "--db", .value = &db},
                              {.name = "--dry-run", .flag = &flag},
                              {.name = "--set", .list = &sets},
                              {.name = NULL}};

/* Parses the words, which end with NULL; what is left stays in `argv`. */
static char *argv[80];
static int argc;
static pm_status parse(const char *const *words, pm_err *e) {
    static char copies[80][32];
    db = NULL, flag = false, sets.n = 0, argc = 0;
    for (; words[argc]; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    *e = (pm_err){0};
    return pm_opts_parse(opts, &argc, argv, e);
}
#define WORDS(...) ((const char *const[]){"run", __VA_ARGS__, NULL})

static void cli_reads_options_anywhere(void) {
    pm_err e;
    CHECK_OK(parse(
        WORDS("one", "--db", "f.db", "two", "--set", "a=1", "--dry-run", "--set=b=2", "three", "-"), &e));
    CHECK_EQ_STR(db, "f.db");
    CHECK(flag);
    CHECK_EQ_INT(sets.n, 2);
    CHECK_EQ_STR(sets.at[0], "a=1");
    CHECK_EQ_STR(sets.at[1], "b=2");
    CHECK_EQ_INT(argc, 5);
    CHECK_EQ_STR(argv[1], "one");
    CHECK_EQ_STR(argv[2], "two");
    CHECK_EQ_STR(argv[3], "three");
    CHECK_EQ_STR(argv[4], "-");
}

static void cli_reads_forms(void) {
    pm_err e;
    CHECK_OK(parse(WORDS("--db=", "--db=x", "--", "--db", "y"),
                   &e)); /* the last counts; after -- nothing is an option */
    CHECK_EQ_STR(db, "x");
    CHECK_EQ_INT(argc, 3);
    CHECK_EQ_STR(argv[1], "--db");
    CHECK_OK(parse(WORDS("--db", "--dry-run"), &e)); /* a value may look like an option */
    CHECK_EQ_STR(db, "--dry-run");
    CHECK(!flag);
}

static void cli_refuses_bad_options(void) {
    static const struct {
        const char *words[5], *says, *hint;
    } bad[] = {
        {{"run", "--dbb", "x"}, "no option --dbb", "did you mean --db?"},
        {{"run", "--jsno"}, "no option --jsno", "did you mean --json?"},
        {{"run", "--frobnicate=3"}, "no option --frobnicate", "`peftmeter run --help`"},
        {{"run", "-x"}, "no option -x", ""},
        {{"run", "--db"}, "--db needs a value", "--help"},
        {{"run", "--set"}, "--set needs a value", "--help"},
        {{"run", "--dry-run=1"}, "--dry-run takes no value", "--help"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pm_err e;
        CHECK_EQ_INT(parse(bad[i].words, &e), PM_EUSAGE);
        if (!strstr(e.msg, bad[i].says) || !strstr(e.hint, bad[i].hint))
            CHECK_FAIL_("\"%s\" | \"%s\"", e.msg, e.hint);
    }
}

static void cli_bounds_a_repeated_option(void) {
    const char *words[80] = {"run"};
    pm_err e;
    int room = (int)(sizeof sets.at / sizeof *sets.at);
    for (int i = 1; i <= room; i++) words[i] = "--set=a=1";
    CHECK_OK(parse(words, &e));
    words[room + 1] = "--set=a=1";
    CHECK_EQ_INT(parse(words, &e), PM_EUSAGE);
}

static void cli_counts_arguments(void) {
    pm_err e;
    CHECK_OK(parse(WORDS("a", "b"), &e));
    CHECK_OK(pm_args_check(argc, argv, 2, 2, &e));
    CHECK_EQ_INT(pm_args_check(argc, argv, 0, 1, &e), PM_EUSAGE);
    CHECK(strstr(e.msg, "too many: b") && e.hint[0]);
    CHECK_EQ_INT(pm_args_check(argc, argv, 3, 9, &e), PM_EUSAGE);
    CHECK(strstr(e.msg, "not enough"));
}

/* The contract's table. */
static void cli_exit_codes(void) {
    static const int want[][2] = {{PM_OK, 0},      {PM_EUSAGE, 2},       {PM_EIO, 3},
                                  {PM_EFORMAT, 3}, {PM_EUNSUPPORTED, 2}, {PM_EDB, 3},
                                  {PM_ECHECK, 1},  {PM_EDIVERGED, 1},    {PM_ECANCELLED, 1}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK_EQ_INT(pm_exit_code((pm_status)want[i][0]), want[i][1]);
}

static void cli_shows_fields(void) {
    static const pm_field fields[] = {
        {"rank", PM_FIELD_INT, 0, "8", 1, 64, NULL, "rank of the update", "r"},
        {"form", PM_FIELD_ENUM, 0, "paper", 0, 0, "paper|release", "which of the two", NULL},
        {NULL, PM_FIELD_INT, 0, NULL, 0, 0, NULL, NULL, NULL},
    };
    char text[1024];
    FILE *f = tmpfile();
    if (!f) abort();
    pm_fields_print(f, fields, "method.");
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    CHECK(strstr(text, "method.rank") && strstr(text, "int 1..64") && strstr(text, "rank of the update"));
    CHECK(strstr(text, "method.form") && strstr(text, "paper|release"));
    cJSON *j = pm_fields_json(fields, "method.");
    CHECK_EQ_INT(cJSON_GetArraySize(j), 2);
    CHECK_EQ_STR(cJSON_GetObjectItem(cJSON_GetArrayItem(j, 0), "key")->valuestring, "method.rank");
    CHECK_EQ_STR(cJSON_GetObjectItem(cJSON_GetArrayItem(j, 0), "adapter_config")->valuestring, "r");
    CHECK_EQ_STR(cJSON_GetObjectItem(cJSON_GetArrayItem(j, 1), "choices")->valuestring, "paper|release");
    cJSON_Delete(j);
}

/* The first signal asks, the second ends the program: in a child, which reports what it saw. */
static void cli_second_interrupt_ends(void) {
    pid_t child = fork();
    if (child == 0) {
        pm_catch_interrupts();
        raise(SIGTERM);
        if (pm_interrupted != SIGTERM) _exit(1);
        raise(SIGINT);
        _exit(2); /* not reached */
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ_INT(WEXITSTATUS(status), 128 + SIGINT);
    CHECK_EQ_INT(pm_interrupted, 0);
}

int main(void) {
    RUN(cli_reads_options_anywhere);
    RUN(cli_reads_forms);
    RUN(cli_refuses_bad_options);
    RUN(cli_bounds_a_repeated_option);
    RUN(cli_counts_arguments);
    RUN(cli_exit_codes);
    RUN(cli_shows_fields);
    RUN(cli_second_interrupt_ends);
    return check_done();
}
