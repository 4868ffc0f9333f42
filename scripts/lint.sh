#!/usr/bin/env bash
# lint.sh - the rules of the house that a compiler does not know.
#
#   scripts/lint.sh            rules, formatting, clang-tidy, cppcheck, shellcheck: each that is installed, the others named
#   scripts/lint.sh --fast     rules and formatting (seconds; what CI runs first)
#   scripts/lint.sh --rules    rules only
#   scripts/lint.sh --list     names of the rules; tests/e2e/lint.sh plants a violation of each and wants it found
#   ROOT=DIR                   look at another tree than this one
#
# Every finding is one line `lint: RULE: FILE:LINE: text`; exit 1 when there is one.
set -uo pipefail
export LC_ALL=C
cd "${ROOT:-$(dirname "$0")/..}" || exit 3
mode=${1:---all}
found=$(mktemp)
trap 'rm -f "$found"' EXIT

# Tracked files and new ones that git does not ignore; every file of a tree that git does not know.
list_files() {
    if [[ -e .git ]]; then git ls-files --cached --others --exclude-standard
    else find . -type f -not -path './build/*' | sed 's|^\./||'; fi | while IFS= read -r f; do [[ -f $f ]] && echo "$f"; done
}
files=$(list_files)
only() { grep -E -- "$1" <<<"$files"; }

# `rule NAME why`: with --list only the name; otherwise the findings on stdin are printed and noted.
rule() {
    if [[ $mode == --list ]]; then echo "$1"
    else awk -v rule="$1" -v why="$2" '{ print "lint: " rule ": " substr($0, 1, 200) "   (" why ")" }' | tee -a "$found"; fi
}
# grep over the files named on stdin; none is no match (grep alone would read stdin).
seek() { [[ $mode == --list ]] || xargs -r -d '\n' grep -nHIE -- "$1" 2>/dev/null; }
# pattern NAME FILES BUT_NOT PATTERN WHY
pattern() { only "$2" | grep -vE -- "$3" | seek "$4" | rule "$1" "$5"; }

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]*/)?'
call='(^|[^_[:alnum:]])' # the name of a function does not start in the middle of a word
none='^$'

patterns() {
    pattern json-sql '^(core|methods)/.*\.[ch]$' "$none" "$include(cJSON|sqlite3)\.h" \
        'core and methods know no file format and no database'
    pattern blas-door '^(core|models|methods|harness)/.*\.[ch]$' '^core/gemm[a-z0-9_]*\.[ch]$' \
        "$include(cblas|f77blas|openblas_config|dnnl[a-z_]*)\.h" 'core/gemm*.c is the only caller of a BLAS'
    pattern lapack-door '^(core|models|methods|harness)/.*\.[ch]$' '^core/lapack\.c$' "$call[sd](ge|or|po|sy|tr)[a-z]{2,4}_ *\(" \
        'core/lapack.c is the only caller of LAPACK'
    pattern print-exit '^(core|models|methods)/.*\.[ch]$' '^core/(base|arena)\.c$' \
        "$call((v?f?printf *\( *(std(out|err)|\"))|(puts|putchar|perror|exit|_exit|quick_exit|abort) *\()" \
        'only the harness speaks to the user; a bug is a PM_ASSERT, no memory ends in the arena'
    pattern malloc '^(core|methods)/.*\.[ch]$' '^core/arena\.[ch]$' \
        "$call(malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup) *\(" 'core and methods take memory from an arena'
    pattern unbounded '\.[ch]$' "$none" "$call(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atof) *\(" \
        'no bound, or no error: snprintf, strtol, strtod'
    pattern unfinished '\.(c|h|sh|json|md)$|^Makefile$' "$none" \
        "$call(TO[D]O|FIX[M]E|XX[X]|HAC[K])([^_[:alnum:](]|\([^#]|\$)" 'name the issue in brackets: (#12)'
    pattern fast-math '^Makefile$|\.(mk|sh|c|h)$|^\.ci/run$' '^scripts/lint\.sh$|^tests/e2e/lint\.sh$' \
        '^[^/*#]*(-Ofast|-ffast-math|-funsafe-math)|optimi[sz]e.*(Ofast|fast-math)' 'isnan would become false'
    pattern machine-path '.' '^tests/golden/|\.csv$' "(^|[^_[:alnum:].}/-])/(work|farm|root|tmp|home|opt)/[[:alnum:].]" \
        'a path of one machine'
}

# Headers of a folder, as an alternation for grep.
headers() { only "^($1)/[^/]*\.h$" | sed 's|.*/||; s|\.h$||' | paste -sd '|'; }
# layer FOLDER FOLDERS: no file of the first includes a header of the others.
layer() {
    local names
    names=$(headers "$2")
    [[ $names ]] && only "^$1/.*\.[ch]$" | seek "$include($names)\.h\""
}
layers() {
    local names
    { layer core 'methods|models|harness'; layer methods 'models|harness'; layer models 'harness|methods'; } |
        rule layers 'harness -> methods, models, core; methods -> core; models -> core'
    names=$(grep -ohE '\bX\([a-z0-9_]+\)' methods/registry.c 2>/dev/null | sed 's/X(//; s/)//' | paste -sd '|')
    { [[ $names ]] && only '^methods/.*\.[ch]$' | seek "$include($names)\.[ch]\""; } |
        rule method-alone 'methods never include each other: what two share belongs to core'
}

# Functions as clang-format lays them out: the head starts in column 1 and ends with ` {`, the body ends with `}` in column 1.
function_lengths() { # most lines
    only '^(core|models|methods|harness|tests)/.*\.c$' | xargs -r -d '\n' awk -v most="$1" '
        /^[a-zA-Z_].*\(/ && !/;[[:space:]]*$/ { head = FNR; text = $0 }
        /^}/ && head { if (FNR - head + 1 > most) printf "%s:%d: %d lines: %s\n", FILENAME, head, FNR - head + 1, text; head = 0 }'
}
sizes() {
    function_lengths 60 | rule function-length 'over 60 lines: is it one idea?'
    only '^(core|models|methods|harness|tests|scripts)/.*\.(c|h|sh)$' | xargs -r -d '\n' wc -l | awk '$2 != "total" && $1 > 900 { print $2 ": " $1 " lines" }' |
        rule file-length 'over 900 lines: one concern each'
    only '^(core|models|methods|harness|tests)/.*\.[ch]$' | xargs -r -d '\n' awk 'FNR == 1 && !/^\/\*/ { print FILENAME ":1: " $0 }' |
        rule top-comment 'a file opens with what it is and why'
    only '.' | xargs -r -d '\n' du -k | awk '$1 > 4096 { print $2 ": " $1 " KiB" }' | rule file-size 'over 4 MiB: fetched, not committed'
}

have() { # program, what is lost
    command -v "$1" >/dev/null && return
    echo "lint: skipped: $1 is not installed: $2"
    return 1
}
c_files() { only '^(core|models|methods|harness|tests)/.*\.c$'; }

# Versions of clang-format lay out code differently: only the one that .clang-format names may judge.
formatting() {
    local want is
    have clang-format 'formatting is not checked' || return
    want=$(sed -nE 's/^# clang-format ([0-9]+).*/\1/p' .clang-format)
    is=$(clang-format --version | grep -oE 'version [0-9]+' | cut -d' ' -f2)
    [[ $want == "$is" ]] || { echo "lint: skipped: formatting is judged by clang-format $want, this is $is"; return; }
    only '^(core|models|methods|harness|tests)/.*\.[ch]$' | xargs -r -d '\n' clang-format --dry-run -Werror 2>&1 |
        sed -nE 's/^([^:]+:[0-9]+):[0-9]+: error: .*/\1: not as laid out/p' | sort -t: -k1,1 -u | rule format 'make format'
}
tidy() {
    have clang-tidy 'bugprone, analyzer and performance checks' || return
    c_files | xargs -r -d '\n' -P "$(nproc)" -n 2 sh -c 'clang-tidy --quiet "$@" -- $LINT_CFLAGS 2>/dev/null' sh |
        grep -E '(warning|error):' | sed "s|$PWD/||" | sort -u | rule clang-tidy 'see .clang-tidy'
}
cppchecks() {
    have cppcheck 'cppcheck' || return
    only '^(core|models|methods|harness)/.*\.c$' | xargs -r -d '\n' cppcheck --quiet --std=c11 --language=c -j "$(nproc)" \
        --enable=warning,performance,portability --inline-suppr --suppress=missingInclude --suppress=unknownMacro \
        -Icore -Imodels -Imethods -Iharness --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1 |
        grep -E ': (error|warning|performance|portability): ' | rule cppcheck 'suppress inline with the reason'
}
shells() {
    local s
    for s in $(only '\.sh$|^\.ci/run$'); do bash -n "$s" 2>&1; done | rule shell-syntax 'bash -n'
    [[ $mode == --all ]] || return
    have shellcheck 'the scripts' || return
    only '\.sh$|^\.ci/run$' | xargs -r -d '\n' shellcheck -x -P SCRIPTDIR -S warning -f gcc | rule shellcheck 'shellcheck'
}

patterns
layers
sizes
[[ $mode == --list ]] && exit 0
[[ $mode == --rules ]] || { formatting; shells; }
[[ $mode == --all ]] && { tidy; cppchecks; }
n=$(wc -l <"$found")
echo "lint: $n findings"
[[ $n -eq 0 ]]
