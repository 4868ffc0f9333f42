#!/usr/bin/env bash
# regress-trials.sh - how often `regress --build` catches a planted slowdown, and how often it cries wolf.
#
#   scripts/regress-trials.sh [PLANTED [UNCHANGED [KERNEL...]]]      default: 10 20 k_silu_mul
#
# PLANTED tries of HEAD against a commit in which a KERNEL (they take turns) spins for a tenth of the time that it just took; a try catches it
# when it exits with 1 and names that kernel. UNCHANGED tries of HEAD against a commit with the same tree. Both commits are made here, on no branch, and git
# collects them later. The lines are for the record: when, what, exit code, seconds, what was named.
set -euo pipefail
cd "$(dirname "$0")/.."
planted=${1:-10} unchanged=${2:-20}
shift $(($# < 2 ? $# : 2))
kernels=("$@")
[[ ${#kernels[@]} -gt 0 ]] || kernels=(k_silu_mul)
program=build/release/peftmeter
base=$(git rev-parse HEAD)
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree/planted" 2>/dev/null || true; rm -rf "$tree"' EXIT

# file, parameters of the definition, arguments of the call
declare -A where=(
    [k_silu_mul]='core/k_elem.c|int64_t n, const real *gate, const real *up, real *y|n, gate, up, y'
    [k_rmsnorm]='core/k_norm.c|int64_t N, int64_t C, const real *x, const real *g, real eps, real *rstd, real *y|N, C, x, g, eps, rstd, y'
    [k_adamw]='core/k_adamw.c|int64_t n, const pm_adamw_consts *c, const real *g, real *m, real *v, real *w|n, c, g, m, v, w'
    [packed_forward]='core/gemm.c|const pm_packed *p, int64_t N, const real *x, real beta, real *y|p, N, x, beta, y'
)

# The commit in which KERNEL is slower.
plant() {
    local kernel=$1 file head all once
    IFS='|' read -r file head all <<<"${where[$kernel]}"
    once=once_$kernel
    git worktree add --quiet --detach --force "$tree/planted" "$base"
    sed -i "s/^void pm_$kernel(/__attribute__((noinline)) static void $once(/" "$tree/planted/$file"
    cat >>"$tree/planted/$file" <<SPIN

void pm_$kernel($head) {
    double begun = pm_now_s();
    $once($all);
    for (double end = pm_now_s(), more = 0.1 * (end - begun); pm_now_s() - end < more;) {
    }
}
SPIN
    git -C "$tree/planted" -c user.name=trial -c user.email=trial@localhost commit --quiet --all --no-verify -m "planted: $kernel"
    git -C "$tree/planted" rev-parse HEAD
    git worktree remove --force "$tree/planted"
}

# One comparison; prints its line, returns its exit code.
try() { # what, head
    local begun=$SECONDS code=0 named
    "$program" regress --base "$base" --head "$2" --build --quiet --format csv --out "$tree/out.csv" >/dev/null 2>"$tree/said" || code=$?
    named=$(sed -n 's/^peftmeter: //p' "$tree/said" | head -1)
    echo "$(date -u +%FT%TZ) $1: exit $code, $((SECONDS - begun)) s; $named" >&2
    [[ $1 == unchanged || $named == *"$1"* ]] || return 2
    return "$code"
}

unchanged_commit=$(git -c user.name=trial -c user.email=trial@localhost commit-tree "$base^{tree}" -p "$base" -m unchanged)
caught=0 alarms=0
for ((i = 0; i < planted; i++)); do
    kernel=${kernels[i % ${#kernels[@]}]}
    [[ ${commit_of_kernel:=} == *"$kernel="* ]] || commit_of_kernel+=" $kernel=$(plant "$kernel")"
    commit=${commit_of_kernel##* "$kernel"=}
    code=0
    try "$kernel" "${commit%% *}" || code=$?
    [[ $code -ne 1 ]] || caught=$((caught + 1))
done
for ((i = 0; i < unchanged; i++)); do
    code=0
    try unchanged "$unchanged_commit" || code=$?
    [[ $code -eq 0 ]] || alarms=$((alarms + 1))
done
echo "caught $caught of $planted planted slowdowns; $alarms false alarms in $unchanged unchanged pairs"
