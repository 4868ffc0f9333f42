/* test_keep.c - what is dear to compute is kept, found again, and never believed when the file is not what was written. */
#include "check.h"
#include "keep.h"
#include "scratch.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { N = 1000 };
static char folder[] = P_tmpdir "/peftmeter_test_XXXXXX", file[300];
static double numbers[N];

static pm_cache *opened(void) {
    pm_cache *c = pm_keep_open();
    PM_ASSERT(c, "no cache");
    return c;
}

static void keep_finds_what_was_put(void) {
    pm_cache *c = opened();
    CHECK(!c->find(c, "key", sizeof numbers));
    c->put(c, "key", numbers, sizeof numbers);
    const double *found = c->find(c, "key", sizeof numbers);
    CHECK(found && memcmp(found, numbers, sizeof numbers) == 0);
    CHECK(c->find(c, "key", sizeof numbers) == found); /* mapped once */
    CHECK(!c->find(c, "key", sizeof numbers - 8));     /* another length is another thing */
    CHECK(!c->find(c, "other", sizeof numbers));
    pm_keep_close(c);
}

/* Asked of a cache that has not seen the file yet, as the next run's. */
static bool believed(void) {
    pm_cache *c = opened();
    bool found = c->find(c, "key", sizeof numbers) != NULL;
    pm_keep_close(c);
    return found;
}

static void put_again(void) {
    pm_cache *c = opened();
    c->put(c, "key", numbers, sizeof numbers);
    pm_keep_close(c);
}

/* Every kind of damage: a flipped bit anywhere, a file cut short or grown. */
static void keep_does_not_believe_a_damaged_file(void) {
    put_again();
    FILE *f = fopen(file, "r+b");
    PM_ASSERT(f, "%s", file);
    static const long AT[] = {0, 9, 17, 64, 65 + 4000, 64 + (long)sizeof numbers - 1};
    for (size_t i = 0; i < sizeof AT / sizeof *AT; i++) {
        fseek(f, AT[i], SEEK_SET);
        int byte = fgetc(f);
        fseek(f, AT[i], SEEK_SET);
        fputc(byte ^ 4, f);
        fflush(f);
        CHECK(!believed());
        fseek(f, AT[i], SEEK_SET);
        fputc(byte, f);
        fflush(f);
        CHECK(believed());
    }
    CHECK_EQ_INT(ftruncate(fileno(f), 100), 0);
    CHECK(!believed());
    CHECK_EQ_INT(ftruncate(fileno(f), 64 + (long)sizeof numbers + 1), 0);
    CHECK(!believed());
    fclose(f);
    put_again();
    CHECK(believed()); /* mended by writing it again */
}

/* A folder that cannot be made: nothing is kept, nothing fails. */
static void keep_lives_without_a_folder(void) {
    setenv("PEFTMETER_CACHE", "/proc/nowhere", 1);
    pm_cache *c = opened();
    c->put(c, "key", numbers, sizeof numbers);
    CHECK(!c->find(c, "key", sizeof numbers));
    pm_keep_close(c);
    pm_keep_close(NULL);
}

/* One that was left long ago goes with the next that is written; one that may still be written to stays, and so does every other file. */
static void keep_removes_what_a_killed_process_left(void) {
    static const char *const name[] = {"key.tmp.1", "key.tmp.2", "old"};
    static const bool stays[] = {false, true, true};
    char path[3][320];
    struct timespec old[2] = {{.tv_sec = time(NULL) - 2 * 3600}, {.tv_sec = time(NULL) - 2 * 3600}};
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s/computed/%s", folder, name[i]);
        fclose(fopen(path[i], "w"));
        if (i != 1) CHECK(utimensat(AT_FDCWD, path[i], old, 0) == 0);
    }
    put_again();
    for (int i = 0; i < 3; i++) CHECK((access(path[i], F_OK) == 0) == stays[i]);
    for (int i = 1; i < 3; i++) unlink(path[i]);
}

int main(void) {
    for (int i = 0; i < N; i++) numbers[i] = 1.0 / (i + 1);
    PM_ASSERT(mkdtemp(folder), "cannot make %s", folder);
    snprintf(file, sizeof file, "%s", path_in(folder, "computed/key"));
    setenv("PEFTMETER_CACHE", folder, 1);
    RUN(keep_finds_what_was_put);
    RUN(keep_does_not_believe_a_damaged_file);
    RUN(keep_removes_what_a_killed_process_left);
    RUN(keep_lives_without_a_folder);
    PM_ASSERT(!unlink(file) && !rmdir(path_in(folder, "computed")) && !rmdir(folder), "%s is not empty",
              folder);
    return check_done();
}
