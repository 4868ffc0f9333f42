/* report_score.h - what a table says of each row on each task: mean, interval, tie group. All statistics are stats_*.h's. */
#ifndef PM_REPORT_SCORE_H
#define PM_REPORT_SCORE_H
#include "report_data.h"
#include "stats_family.h"

typedef struct pm_standing { /* numbers as in the database, not in % */
    double mean, low,
        high; /* over seeds; 95%: of seeds and items where items are right or wrong, else of seeds alone. NAN: none */
    double sd, least, most; /* between seeds; NAN below two */
    int n_seeds;
    char letters[PM_LETTERS_MAX + 1]; /* tie groups at 5%; "": not compared */
    bool best;                        /* not told apart from the best */
    int first, last;                  /* places it can have among the compared rows; 0: not compared */
} pm_standing;

typedef struct pm_standings {
    pm_standing *at; /* [n_setups][n_tasks] */
    double *
        detectable; /* [n_setups][n_tasks]: the difference that the task's comparison of this row's model finds with 80%; NAN: none */
} pm_standings;

/* Everything is from r's arena. */
pm_standings pm_standings_of(const pm_results *r);
/* Two rows on one task as methods: row a's mean minus row b's, over the seeds and items that both have. False: fewer than two of either, or items
 * that are not right or wrong; then no claim about the methods can be made. */
bool pm_compare_setups(const pm_results *r, int a, int b, int task, pm_method_difference *out);
const pm_standing *pm_standing_at(const pm_results *r, const pm_standings *s, int setup, int task);
#endif
