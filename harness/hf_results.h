/* hf_results.h - result files in the layout of Hugging Face PEFT's method_comparison: one JSON file a run, read into a database and written out of it.
 *
 * Why their layout: their leaderboard, and whoever reads their files, is there already. What it cannot hold stands in a part of our own,
 * "peftmeter", which their readers pass over; what we cannot know (an accelerator's memory on a CPU) is null, not 0.
 * docs/reports.md says field by field what is taken and what is given.
 */
#ifndef PM_HF_RESULTS_H
#define PM_HF_RESULTS_H
#include "db.h"

#define PM_HF_ORIGIN "method_comparison" /* column `origin` of the table `imported` */

/* Reads one file and stores it as a run: all of it or, with a message and a hint, nothing. `task`: its name, or NULL: as the file names its data.
 * *added is false when that file, or the run that it was exported from, is in the database. PM_EIO, PM_EFORMAT, PM_EDB. */
pm_status pm_hf_import(pm_db *d, const char *path, const char *task, bool *added, pm_err *e);

typedef struct pm_hf_exported {
    int written, of_them_imported; /* files */
    int untrained; /* runs left out, for the layout has no place for one that trains nothing */
} pm_hf_exported;
/* Writes every run that ended, tuning trials apart, as a file into dir, which exists. What was imported is written as it came. PM_EIO, PM_EDB. */
pm_status pm_hf_export(pm_db *d, const char *dir, pm_hf_exported *n, pm_err *e);
#endif
