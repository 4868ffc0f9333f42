#!/usr/bin/env bash
# lint.sh - each rule of scripts/lint.sh must be able to fail: a violation is planted in a small clean tree and has to be found, by that rule
# and no other; look-alikes that are allowed must not be. A rule without a plant here is a failure.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAIL $1"
}
write() { # file, text with \n; @ is dropped (so that this file itself breaks no rule)
    mkdir -p "$dir/$(dirname "$1")"
    printf '%b' "${2//@/}" >"$dir/$1"
}
clean_tree() {
    rm -rf "${dir:?}"/*
    local d
    for d in core models methods harness tests; do write "$d/$d.h" "/* $d.h - a header. */\n"; done
    write core/gemm.c '/* gemm.c - the door. */\n#include <cblas.h>\n#include "oneapi/dnnl/dnnl.h"\n'
    write core/base.c '/* base.c - bugs. */\nvoid pm_bug(void) {\n    fprintf(stderr, "x");\n    abort();\n}\n'
    write core/arena.c '/* arena.c - memory. */\nvoid *get(void) {\n    return malloc(1);\n}\n'
    write core/fine.c '/* fine.c - look-alikes. */\n#include "core.h"\nint f(char *s) {\n    snprintf(s, 1, "%%d", 1); pm_arena_printf(s); my_free(s); pm_exit(s);\n    return 0;\n}\n'
    write methods/registry.c '/* registry.c - the list. */\n#include "core.h"\n#define METHODS X(full) X(lora)\n'
    write methods/lora.c '/* lora.c - a method. */\n#include "methods.h"\n'
    write harness/main.c '/* main.c - speaks. */\n#include "methods.h"\n#include "models.h"\n#include "core.h"\nint main(void) {\n    printf("TO@DO(#12)\\n");\n    exit(1);\n}\n'
    write tests/test_x.c '/* test_x.c - ${TMPDIR:-/tmp} and s/@tmp/x/ and build/@tmp/x are no paths of a machine. */\n'
    write Makefile 'CFLAGS := -O3 -fno-math-errno\n'
}
lint() { ROOT=$dir scripts/lint.sh --rules; }

long_function() { # lines
    printf '/* long.c - long. */\nint f(int a,\n      int b) {\n'
    yes '    a++;' | head -n $(($1 - 3))
    printf '}\n'
}

# rule | file | text: one planted at a time
plants() {
    cat <<'END'
json-sql|core/bad.c|/* x */\n#include <cjson/cJSON.h>\n
json-sql|methods/bad.c|/* x */\n# include <sqlite3.h>\n
blas-door|models/bad.c|/* x */\n#include <cblas.h>\n
blas-door|core/op_bad.c|/* x */\n#include <oneapi/dnnl/dnnl.h>\n
blas-door|harness/bad.c|/* x */\n#include <openblas/openblas_config.h>\n
lapack-door|methods/bad.c|/* x */\nvoid f(void) {\n    dgesdd_(0);\n}\n
print-exit|core/bad.c|/* x */\nvoid f(void) {\n    printf("x");\n}\n
print-exit|models/bad.c|/* x */\nvoid f(void) {\n    fprintf(stderr, "x");\n}\n
print-exit|methods/bad.c|/* x */\nvoid f(void) {\n    exit (1);\n}\n
print-exit|models/bad2.c|/* x */\nvoid f(void) {\n    if (1) abort();\n}\n
malloc|methods/bad.c|/* x */\nvoid f(void) {\n    char *p = malloc(3);\n}\n
malloc|core/bad.c|/* x */\nvoid f(void) {\n    char *p = (char *)realloc(0, 3);\n}\n
unbounded|harness/bad.c|/* x */\nvoid f(char *s) {\n    strcpy(s, "x");\n}\n
unbounded|tests/test_bad.c|/* x */\nint f(char *s) {\n    return atoi(s);\n}\n
unfinished|harness/bad.c|/* x */\n/* TO@DO: later */\n
unfinished|core/bad.c|/* x */\n// FIX@ME\n
unfinished|docs/bad.md|X@XX(soon)\n
fast-math|Makefile|CFLAGS := -Ofast\n
fast-math|core/bad.c|/* x */\n#pragma GCC optimize("-ffast-math")\n
machine-path|harness/bad.c|/* x */\nconst char *p = "/@home/me/models";\n
machine-path|docs/bad.md|see /@work/thing\n
machine-path|tests/test_bad.c|/* x */\nconst char *p = "/@tmp/x";\n
layers|core/bad.c|/* x */\n#include "methods.h"\n
layers|core/bad2.c|/* x */\n#include "../harness/harness.h"\n
layers|methods/bad.c|/* x */\n#include "models.h"\n
layers|models/bad.c|/* x */\n#include "harness.h"\n
layers|models/bad2.c|/* x */\n#include "methods.h"\n
method-alone|methods/bad.c|/* x */\n#include "lora.c"\n
method-alone|methods/dora.c|/* x */\n#include "lora.h"\n
top-comment|harness/bad.c|#include <stdio.h>\n
END
}

# The findings must all be of the one rule, and there must be one.
expect_only() { # rule, what
    local out
    out=$(lint)
    if [[ $? -ne 1 ]]; then bad "$2: exit status is not 1"
    elif ! grep -q "^lint: $1: " <<<"$out"; then bad "$2: not found"$'\n'"$out"
    elif grep -E '^lint: [a-z-]+: ' <<<"$out" | grep -vq "^lint: $1: "; then bad "$2: found by another rule too"$'\n'"$out"
    else ok; fi
}

clean_tree
if out=$(lint); then ok; else bad "the clean tree has findings"$'\n'"$out"; fi
while IFS='|' read -r rule file text; do
    clean_tree
    write "$file" "$text"
    expect_only "$rule" "$rule in $file"
done < <(plants)

clean_tree
long_function 60 >"$dir/core/long.c"
if lint >/dev/null; then ok; else bad "a function of 60 lines is allowed"; fi
long_function 61 >"$dir/core/long.c"
expect_only function-length 'a function of 61 lines'
clean_tree
{ echo '/* x */'; yes '' | head -n 900; } >"$dir/core/big.c"
expect_only file-length 'a file of 901 lines'
clean_tree
head -c 4300000 /dev/urandom >"$dir/blob.bin"
expect_only file-size 'a file of 4.1 MiB'

while read -r rule; do
    grep -q "^$rule|" <(plants) || grep -q "^expect_only $rule " "$0" || bad "rule $rule has no plant here"
done < <(scripts/lint.sh --list)

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
