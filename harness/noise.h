/* noise.h - the noise certificate: how small a slowdown this machine can see. `doctor --noise` measures it, the cache keeps the latest, runs store
 * it beside their times, `regress --build` calls nothing that lies below.
 *
 * It is made as the comparison is: two copies of the same program, in turns, the same works.
 */
#ifndef PM_NOISE_H
#define PM_NOISE_H
#include "speed.h"

enum { PM_NOISE_PAIRS = 15, PM_NOISE_UNITS = 160 };
typedef struct pm_noise_unit {
    char name[96];
    bool step; /* a training step; else a kernel */
    double
        sd; /* of the log-ratios, as 1.48 median absolute ones: what a disturbance or two does not change */
    double lag1; /* their correlation from pair to pair */
    pm_noise can;
} pm_noise_unit;
typedef struct pm_noise_certificate {
    char measured_at[32]; /* UTC, ISO 8601; "": there is none */
    char machine[200];    /* CPU and cores: valid there only */
    int pairs, n;
    pm_noise_unit unit[PM_NOISE_UNITS];
} pm_noise_certificate;

/* Measures (two minutes on the declared suite's works) and keeps it in the cache. PM_EIO, PM_ECANCELLED, and as pm_duel_open. */
pm_status pm_noise_measure(const pm_work *work, int n_works, pm_noise_certificate *out, pm_err *e);
/* The latest of this machine; measured_at "" where there is none, or it cannot be read. */
void pm_noise_load(pm_noise_certificate *out);
/* The unit of that name; NULL. */
const pm_noise_unit *pm_noise_find(const pm_noise_certificate *c, const char *name);
/* The worst of the training steps, or of the kernels, at a look: what may be said of any. NAN: none. */
typedef struct pm_noise_worst {
    double floor, found;
} pm_noise_worst;
pm_noise_worst pm_noise_of(const pm_noise_certificate *c, bool steps, int look);
#endif
