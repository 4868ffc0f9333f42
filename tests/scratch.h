/* scratch.h - paths inside a test's scratch folder. */
#ifndef PM_SCRATCH_H
#define PM_SCRATCH_H
#include <stdio.h>

/* dir/name; valid until the fourth call after this one. */
static inline const char *path_in(const char *dir, const char *name) {
    static char path[4][300];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}
#endif
