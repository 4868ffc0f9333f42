/* host.c - CPU, instruction sets, memory and system: the same on every start of one machine, so that timings
 * can be keyed on them. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__clang__)
const char pm_compiler[] = "clang " __clang_version__;
#else
const char pm_compiler[] = "gcc " __VERSION__;
#endif

/* The value of the first line "KEY<blanks>SEP value" of a text file, without quotes; "" when there is none.
 */
static void line_value(const char *path, const char *key, char sep, char *out, size_t cap) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, n = strlen(key);
    out[0] = 0;
    while (f && !out[0] && getline(&line, &room, f) > 0) {
        char *at = line + n;
        if (strncmp(line, key, n) != 0) continue;
        at += strspn(at, " \t");
        if (*at != sep) continue;
        at += 1 + strspn(at + 1, " \t\"");
        at[strcspn(at, "\"\r\n")] = 0;
        snprintf(out, cap, "%s", at);
    }
    free(line);
    if (f) fclose(f);
}

/* What the kernels of the compiler and the BLAS choose by; x86 and ARM names as in /proc/cpuinfo. */
static bool isa_matters(const char *flag) {
    static const char *const name[] = {
        "sse4_2", "avx",     "avx2", "fma",  "f16c", "avx_vnni", "asimd", "asimdhp",
        "fphp",   "asimddp", "bf16", "i8mm", "sve",  "sve2",     "sme",
    };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(flag, name[i]) == 0) return true;
    return strncmp(flag, "avx512", 6) == 0 || strncmp(flag, "amx", 3) == 0;
}

static void read_isa(char *out, size_t cap) {
    char flags[8192];
    line_value("/proc/cpuinfo", "flags", ':', flags, sizeof flags);
    if (!flags[0]) line_value("/proc/cpuinfo", "Features", ':', flags, sizeof flags);
    char *save = NULL;
    out[0] = 0;
    for (char *w = strtok_r(flags, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        size_t used = strlen(out);
        if (!isa_matters(w) || used + strlen(w) + 2 > cap) continue;
        snprintf(out + used, cap - used, "%s%s", used ? " " : "", w);
    }
    if (!out[0]) snprintf(out, cap, "unknown");
}

static void read_cpu(char *out, size_t cap) {
    line_value("/proc/cpuinfo", "model name", ':', out, cap);
    if (!out[0]) line_value("/proc/cpuinfo", "CPU part", ':', out, cap);
    if (!out[0]) snprintf(out, cap, "unknown");
}

/* The distribution's name, not the kernel's build: a security update is not another machine. */
static void read_os(char *out, size_t cap) {
    struct utsname u;
    char name[96];
    line_value("/etc/os-release", "PRETTY_NAME", '=', name, sizeof name);
    if (uname(&u) != 0)
        snprintf(out, cap, "unknown");
    else
        snprintf(out, cap, "%.24s %.24s%s%s", u.sysname, u.machine, name[0] ? ", " : "", name);
}

static int count_cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 0;
}

static int64_t memory(void) {
    const int64_t unit = INT64_C(64) << 20;
    int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (bytes + unit / 2) / unit * unit : 0;
}

void pm_host_get(pm_host *h) {
    memset(h, 0, sizeof *h);
    read_cpu(h->cpu, sizeof h->cpu);
    read_isa(h->isa, sizeof h->isa);
    read_os(h->os, sizeof h->os);
    h->cores = count_cores();
    h->memory_bytes = memory();
}
