/* pm.h - all of core in one include. See each header for its contract; reading order: base, arena, gemm, tape, ops, net, optim. */
#ifndef PM_H
#define PM_H
#include "lapack.h"
#include "optim.h"
#include "rng.h"
#include "sha256.h"
#endif
