/* test_progress.c - the line that says how far a piece of work is: its numbers, its width, when it is printed. */
#include "cmd.h"
#include "progress.h"

#include "check.h"
#include <stdlib.h>
#include <unistd.h>

static void progress_durations(void) {
    static const struct {
        double s;
        const char *want;
    } t[] = {{0, "0:00"},    {-3, "0:00"},      {7.4, "0:07"},     {59.6, "1:00"},
             {750, "12:30"}, {3599.4, "59:59"}, {3723, "1:02:03"}, {360000, "100:00:00"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char s[32];
        pm_duration_text(t[i].s, s, sizeof s);
        CHECK_EQ_STR(s, t[i].want);
    }
}

static void progress_says_rate_and_eta(void) {
    char s[256];
    pm_progress p = {.what = "train", .unit = "step", .total = 100, .done = 25, .begun_s = 1000};
    pm_progress_text(&p, 1010, 200, false, s, sizeof s);
    CHECK_EQ_STR(s, "train 25/100 step, 2.50 step/s, ETA 0:30");
    pm_progress_text(&p, 1010, 200, true, s, sizeof s);
    CHECK_EQ_STR(s, "train [======>                 ] 25/100 step, 2.50 step/s, ETA 0:30");
    snprintf(p.extra, sizeof p.extra, "loss 1.25");
    p.done = 100;
    pm_progress_text(&p, 1010, 200, true, s, sizeof s);
    CHECK_EQ_STR(s, "train [========================] 100/100 step, 10 step/s, loss 1.25");
}

/* A caller that knows what is left says so, before a rate is known too. */
static void progress_takes_the_callers_word(void) {
    char s[256];
    pm_progress p = {.what = "sweep", .unit = "run", .total = 4, .done = 1, .begun_s = 100, .left_s = 65};
    pm_progress_text(&p, 110, 200, false, s, sizeof s);
    CHECK_EQ_STR(s, "sweep 1/4 run, 0.10 run/s, ETA 1:05");
    p.done = 0;
    pm_progress_text(&p, 110, 200, false, s, sizeof s);
    CHECK_EQ_STR(s, "sweep 0/4 run, ETA 1:05");
    p.left_s = (double)NAN;
    p.done = 2;
    pm_progress_text(&p, 110, 200, false, s, sizeof s);
    CHECK_EQ_STR(s, "sweep 2/4 run, 0.20 run/s, ETA 0:10");
}

static void progress_counts_bytes_from_where_it_resumed(void) {
    char s[256];
    pm_progress p = {
        .what = "fetch", .unit = "B", .total = 98362432, .first = 50000000, .done = 60000000, .begun_s = 0};
    pm_progress_text(&p, 2, 200, false, s, sizeof s);
    CHECK_EQ_STR(s, "fetch 60.0 MB/98.4 MB, 5.0 MB/s, ETA 0:08");
}

static void progress_without_a_total_or_a_rate(void) {
    char s[256];
    pm_progress p = {.what = "scan", .unit = "row", .done = 7, .begun_s = 5};
    pm_progress_text(&p, 5, 200, true, s, sizeof s);
    CHECK_EQ_STR(s, "scan 7 row");
    p.total = 10, p.done = 12; /* more than promised */
    pm_progress_text(&p, 6, 200, true, s, sizeof s);
    CHECK_EQ_STR(s, "scan [========================] 12/10 row, 12 row/s");
}

static void progress_keeps_within_the_terminal(void) {
    pm_progress p = {.what = "train", .unit = "step", .total = 1000000, .done = 3};
    memset(p.extra, 'x', sizeof p.extra - 1);
    for (int width = 0; width < 140; width++) {
        char s[256];
        pm_progress_text(&p, 1e9, width, true, s, sizeof s);
        CHECK((int)strlen(s) <= width);
    }
}

/* What begin, 1000 fast updates and end write to stderr. */
static void capture(int64_t done, char *text, size_t cap) {
    FILE *f = tmpfile();
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    if (!f || saved < 0) abort();
    dup2(fileno(f), STDERR_FILENO);
    pm_progress p;
    pm_progress_begin(&p, "eval", 1000, "item");
    for (int64_t i = 1; i <= done; i++) pm_progress_update(&p, i, "acc %.2f", 0.5);
    pm_progress_end(&p);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(f);
    text[fread(text, 1, cap - 1, f)] = 0;
    fclose(f);
}

static void progress_is_one_line_when_it_was_fast(void) {
    char text[4096];
    pm_global = (pm_globals){0};
    capture(1000, text, sizeof text);
    CHECK(strncmp(text, "eval 1000 item, ", 16) == 0);
    CHECK(strstr(text, " in 0:00\n"));
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
    CHECK(!strchr(text, '\033') && !strchr(text, '\r'));
}

static void progress_says_where_it_stopped(void) {
    char text[4096];
    capture(400, text, sizeof text);
    CHECK_EQ_STR(text, "eval stopped at 400/1000 item in 0:00\n");
}

static void progress_is_silent_when_quiet(void) {
    char text[4096];
    pm_global.quiet = true;
    capture(1000, text, sizeof text);
    pm_global.quiet = false;
    CHECK_EQ_STR(text, "");
}

int main(void) {
    RUN(progress_durations);
    RUN(progress_says_rate_and_eta);
    RUN(progress_takes_the_callers_word);
    RUN(progress_counts_bytes_from_where_it_resumed);
    RUN(progress_without_a_total_or_a_rate);
    RUN(progress_keeps_within_the_terminal);
    RUN(progress_is_one_line_when_it_was_fast);
    RUN(progress_says_where_it_stopped);
    RUN(progress_is_silent_when_quiet);
    return check_done();
}
