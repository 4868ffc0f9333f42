/* usage.h - what this process used so far, from the operating system. */
#ifndef PM_USAGE_H
#define PM_USAGE_H
#include "base.h"

double pm_cpu_s(void); /* user and system CPU seconds of all threads */
int64_t pm_peak_rss_bytes(
    void); /* VmHWM, the most memory resident at once; never ru_maxrss, which survives exec. -1: unknown */
void pm_peak_rss_clear(void); /* starts a new peak from here, where the kernel allows it */
#endif
