/* progress.c - rate, remaining time and a bar (progress.h). */
#include "progress.h"

#include "cmd.h"
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TERMINAL_EVERY_S 0.1
#define PLAIN_EVERY_S 5.0
enum { BAR_WIDTH = 24, LINE_MAX_BYTES = 512 };

void pm_duration_text(double seconds, char *out, size_t cap) {
    int64_t s = seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
    if (s < 3600)
        snprintf(out, cap, "%d:%02d", (int)(s / 60), (int)(s % 60));
    else
        snprintf(out, cap, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* "12", or "3.4 MB" where the unit is bytes. */
static void amount_text(double x, const char *unit, char *out, size_t cap) {
    static const char *const bytes[] = {"B", "kB", "MB", "GB", "TB"};
    int i = 0;
    if (strcmp(unit, "B") != 0) {
        snprintf(out, cap, x < 10 && x != (double)(int64_t)x ? "%.2f" : "%.0f", x);
        return;
    }
    for (; x >= 999.5 && i < 4; i++) x /= 1000;
    snprintf(out, cap, i ? "%.1f %s" : "%.0f %s", x, bytes[i]);
}

/* A count with its total, a rate, what is left: "45/100 step, 12 step/s, ETA 0:05". */
static void counts_text(const pm_progress *p, double now_s, char *out, size_t cap) {
    char done[32], total[32], rate[32], left[32];
    bool bytes = strcmp(p->unit, "B") == 0;
    double spent = now_s - p->begun_s, per_s = spent > 0 ? (double)(p->done - p->first) / spent : 0;
    amount_text((double)p->done, p->unit, done, sizeof done);
    amount_text((double)p->total, p->unit, total, sizeof total);
    int n = snprintf(out, cap, "%s%s%s%s%s", done, p->total ? "/" : "", p->total ? total : "",
                     bytes ? "" : " ", bytes ? "" : p->unit);
    if (n < 0 || (size_t)n >= cap) return;
    if (per_s > 0) {
        amount_text(per_s, p->unit, rate, sizeof rate);
        n += snprintf(out + n, cap - (size_t)n, ", %s%s%s/s", rate, bytes ? "" : " ", bytes ? "" : p->unit);
    }
    bool known = p->left_s > 0 || per_s > 0;
    if (!known || !p->total || p->done >= p->total || (size_t)n >= cap) return;
    pm_duration_text(p->left_s > 0 ? p->left_s : (double)(p->total - p->done) / per_s, left, sizeof left);
    snprintf(out + n, cap - (size_t)n, ", ETA %s", left);
}

static void bar_text(const pm_progress *p, char bar[BAR_WIDTH + 4]) {
    double part = (double)p->done / (double)p->total;
    int full = part < 1 ? (int)(part * BAR_WIDTH) : BAR_WIDTH;
    bar[0] = '[';
    for (int i = 0; i < BAR_WIDTH; i++) bar[1 + i] = i < full ? '=' : i == full ? '>' : ' ';
    memcpy(bar + 1 + BAR_WIDTH, "] ", 3);
}

void pm_progress_text(const pm_progress *p, double now_s, int width, bool bar, char *out, size_t cap) {
    char counts[160], drawn[BAR_WIDTH + 4] = "";
    counts_text(p, now_s, counts, sizeof counts);
    int room = width - (int)strlen(p->what) - 1 - (int)strlen(counts);
    if (bar && p->total > 0 && room >= BAR_WIDTH + 3) bar_text(p, drawn);
    snprintf(out, cap, "%s %s%s%s%s", p->what, drawn, counts, p->extra[0] ? ", " : "", p->extra);
    if (width >= 0 && (size_t)width < cap) out[width] = 0;
}

/* Columns of the terminal, less one: a full last column would wrap. */
static int terminal_width(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

static void show(pm_progress *p, double now_s) {
    char line[LINE_MAX_BYTES];
    p->shown_s = now_s;
    pm_progress_text(p, now_s, pm_global.progress ? terminal_width() : LINE_MAX_BYTES - 1, pm_global.progress,
                     line, sizeof line);
    fprintf(stderr, pm_global.progress ? "\r%s\033[K" : "%s\n", line);
    fflush(stderr);
}

void pm_progress_begin(pm_progress *p, const char *what, int64_t total, const char *unit) {
    double now_s = pm_now_s();
    *p = (pm_progress){.what = what, .unit = unit, .total = total, .begun_s = now_s, .shown_s = now_s};
}

void pm_progress_update(pm_progress *p, int64_t done, const char *fmt, ...) {
    double now_s = pm_now_s();
    p->done = done;
    if (pm_global.quiet || now_s - p->shown_s < (pm_global.progress ? TERMINAL_EVERY_S : PLAIN_EVERY_S))
        return;
    va_list args;
    va_start(args, fmt);
    if (fmt) vsnprintf(p->extra, sizeof p->extra, fmt, args);
    va_end(args);
    show(p, now_s);
}

void pm_progress_end(pm_progress *p) {
    char counts[160], spent[32];
    if (pm_global.quiet) return;
    double now_s = pm_now_s();
    bool stopped = p->total > 0 && p->done < p->total;
    pm_duration_text(now_s - p->begun_s, spent, sizeof spent);
    pm_progress q = *p;
    q.total = stopped ? p->total : 0; /* no remaining time in the last line */
    counts_text(&q, now_s, counts, sizeof counts);
    if (stopped) counts[strcspn(counts, ",")] = 0;
    fprintf(stderr, "%s%s %s%s in %s%s\n", pm_global.progress ? "\r" : "", p->what,
            stopped ? "stopped at " : "", counts, spent, pm_global.progress ? "\033[K" : "");
}
