/* git.h - the few questions that comparing commits asks git. */
#ifndef PM_GIT_H
#define PM_GIT_H
#include "base.h"

/* The commit that git calls `name` in the current folder's repository: its 40 (or 64) hexadecimal digits. False: it knows no such name, or there is
 * no git or no repository. */
bool pm_git_commit(const char *name, char hex[65]);
/* The top folder of the current folder's repository; false: none. */
bool pm_git_top(char *out, size_t cap);
#endif
