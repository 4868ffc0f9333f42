/* build.h - the program as it is at a commit: built in a git work tree outside the tree, and kept in the cache. */
#ifndef PM_BUILD_H
#define PM_BUILD_H
#include "base.h"

typedef struct pm_build {
    char commit[65];
    char program[4096], root[4096]; /* the program, and the folder with its datasets/ and models/ */
} pm_build;

/* Builds commit REF of the current folder's repository with this machine's compiler ($CC, $CFLAGS as make takes them), or finds what was built before;
 * a minute where nothing is there. The cache keeps the last few. No work tree stays in the repository's list, whatever happens.
 * PM_EUSAGE: no such commit, not peftmeter's repository; PM_EIO: git or the compiler fails: its last lines are printed on stderr, all are in a file
 * that the hint names. */
pm_status pm_build_commit(const char *ref, pm_build *out, pm_err *e);
#endif
