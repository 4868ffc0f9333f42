/* outdir.h - a directory that a command writes whole or not at all: the files are made in a folder of their own and moved when all are there.
 * Used by the commands that write model and adapter directories. */
#ifndef PM_OUTDIR_H
#define PM_OUTDIR_H
#include "base.h"

typedef struct pm_outdir {
    char dir[3072], stage[4096]; /* the directory asked for | where to write until pm_outdir_end */
    bool existed;
} pm_outdir;

/* PM_EUSAGE: dir is NULL (no --out), or holds something and force is false. PM_EIO: not a directory. Nothing is made yet. */
pm_status pm_outdir_check(const char *dir, bool force, pm_err *e);
/* Makes the stage, and catches interrupts until pm_outdir_end. Call it when the writing starts, not before. PM_EIO. */
pm_status pm_outdir_begin(pm_outdir *o, const char *dir, bool force, pm_err *e);
/* rc: how the writing went. PM_OK: the files move to dir, over files of the same name; what else lies there is left. Otherwise, and when
 * interrupted, the stage is removed and dir is as it was. */
pm_status pm_outdir_end(pm_outdir *o, pm_status rc, pm_err *e);
#endif
