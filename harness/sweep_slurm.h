/* sweep_slurm.h - a sweep as Slurm jobs: an array of shards for the trials, one for the final runs, and what gathers their databases.
 *
 * All lies in a folder beside the database, DB.slurm: the plan as it was submitted, one script, the ids of the jobs, and for each shard a
 * database and its logs. A task writes its own database and reads the common one; only a gathering job writes that.
 */
#ifndef PM_SWEEP_SLURM_H
#define PM_SWEEP_SLURM_H
#include "sweep_run.h"
#include "text.h"

typedef struct pm_slurm_opts {
    pm_sweep_opts sweep;     /* jobs: processes at once in one task */
    int shards;              /* 0: as many as the larger stage has runs, 32 at most */
    bool dry;                /* print what would be submitted */
    const char *const *args; /* [n_args] for every sbatch, each split at blanks */
    int n_args;
} pm_slurm_opts;

/* Folds the shards' databases into the common one, which is made when it is not there. PM_EDB. */
pm_status pm_slurm_gather(const char *db_path, pm_err *e);
/* After a look at what is there (w: PM_STAGE_NEITHER): submits what is missing and says the jobs. PM_ECHECK: jobs of this sweep are still
 * queued. PM_EIO: no sbatch, or it refused; then nothing stays queued. *submitted: false when nothing is missing. */
pm_status pm_slurm_submit(const pm_sweeping *w, const pm_slurm_opts *o, bool *submitted, pm_err *e);

/* ---- for tests ---- */

void pm_shell_quote(pm_buf *b, const char *word); /* for a POSIX shell: 'it'\''s' */
/* "1-4,6" of the shards that have something to do; "" of none. */
void pm_shard_ranges(const bool *need, int shards, pm_buf *b);
#endif
