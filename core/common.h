/* common.h - memory that processes have in common, for what each of them would otherwise compute from the same frozen weights or data.
 *
 * Only the interface: core knows no files. Who finds nothing under a key computes it, for all; who asks meanwhile waits. What is there
 * never changes again. One thread of a process at a time, and one key: nothing is asked for between find and done or drop.
 */
#ifndef PM_COMMON_H
#define PM_COMMON_H
#include "base.h"

enum { PM_COMMON_KEY = 240 }; /* bytes of a key at most, the last one 0 */

typedef struct pm_common {
    /* What lies under the key, read-only, with its size; it stays as long as the memory is open. NULL: nothing does, and this process is to
     * call `room` and `done`, or `drop`. */
    const void *(*find)(struct pm_common *c, const char *key, size_t *n_bytes);
    /* n_bytes >= 1 to be written, aligned to a page. NULL: there is no room, and the key is given up. */
    void *(*room)(struct pm_common *c, size_t n_bytes);
    /* All is written: the same as find gives it from now on; what `room` gave is gone. NULL: it cannot be read, use memory of your own. */
    const void *(*done)(struct pm_common *c);
    void (*drop)(struct pm_common *c); /* gives the key up: whoever waits for it computes it */
} pm_common;
#endif
