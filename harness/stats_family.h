/* stats_family.h - many statements at once: Holm's adjustment, tie groups, claims with a margin. */
#ifndef PM_STATS_FAMILY_H
#define PM_STATS_FAMILY_H
#include "stats_compare.h"

/* Adjusted p of each of n tests (Holm 1979): rejecting what is <= 0.05 is wrong anywhere with probability <= 0.05, however they depend.
 * NAN (not tested) stays NAN and does not count. p and adjusted may be the same array. */
void pm_holm(const double *p, int n, pm_arena *scratch, double *adjusted);

/* Index of the pair i < j among n things: (0,1), (0,2), ..., (n-2,n-1). */
int pm_pair(int i, int j, int n);

/* Tie groups (compact letter display; Piepho 2004, insert-and-absorb): things that share a letter are not told apart.
 * differ[pm_pair(i,j,n)]; order[k] = the thing in place k, best first, so that "a" goes to the best; out[i] is a string as "ab".
 * False, and empty strings, for more than PM_TIES_MAX things or where more than PM_LETTERS_MAX groups would be needed. */
enum { PM_LETTERS_MAX = 26, PM_TIES_MAX = 64 };
bool pm_tie_letters(const bool *differ, const int *order, int n, char (*out)[PM_LETTERS_MAX + 1]);

typedef enum pm_verdict { PM_UNDECIDED, PM_SUPPORTED, PM_REFUTED } pm_verdict;
const char *pm_verdict_name(pm_verdict v); /* "undecided", "supported", "refuted" */
/* Claims "effect > margin" (A beats B by more than it; margin < 0: A is not worse by more than it). d[i] NULL: undecided.
 * Over the n claims together, any false "supported" or "refuted" has probability <= 0.05. p_holm[i] is what was compared with 0.05. */
void pm_claims(const pm_method_difference *const *d, const double *margin, int n, pm_arena *scratch,
               pm_verdict *verdict, double *p_holm);
#endif
