#!/usr/bin/env bash
# bench.sh - speed and memory beside transformers + PEFT (bench/peer.py) on the same rows, in turns. `make bench` calls it.
#
#   bench/bench.sh [--quick]          --quick: without the peer
#
# PAIRS=3 STEPS=8 WARMUP=2 THREADS=2    how much is measured
# MODE=lora               of what: a method, a comma list (lora,dora), or all
# PEFTMETER_BENCH_VENV    the peer's Python environment (default: bench-venv in the cache); made when missing, about 1 GB. pip's
#                         own settings apply: an index with CPU builds of torch saves the larger part of that.
# PEFTMETER_MIRROR=DIR    takes the data from this folder first
set -euo pipefail
cd "$(dirname "$0")/.."

bin=build/release/peftmeter
cache=${PEFTMETER_CACHE:-$HOME/.cache/peftmeter}
venv=${PEFTMETER_BENCH_VENV:-$cache/bench-venv}
requirements=tests/golden/requirements.txt
mirror=(${PEFTMETER_MIRROR:+--mirror "$PEFTMETER_MIRROR"})

die() {
    printf 'bench: %s\n' "$@" >&2
    exit 3
}
# pip without an index succeeds only where everything is there already.
prepare_venv() {
    [[ -x $venv/bin/python ]] || python3 -m venv "$venv" ||
        die "python3 -m venv failed" "hint: apt-get install python3-venv, or run \`make bench-quick\`"
    "$venv/bin/pip" install --quiet --no-index -r "$requirements" >/dev/null 2>&1 && return
    echo "bench: installing the peer (torch, transformers, peft) into $venv" >&2
    "$venv/bin/pip" install --quiet -r "$requirements" || die "pip could not install $requirements" \
        "hint: PEFTMETER_BENCH_VENV may name an environment that has them; \`make bench-quick\` needs none"
}

[[ -x $bin ]] || die "$bin is missing" "hint: make release"
"$bin" models fetch smollm2-135m --quiet >&2
"$bin" data fetch gsm8k --quiet "${mirror[@]}" >&2
mkdir -p build/bench

peer=()
if [[ ${1:-} != --quick ]]; then
    prepare_venv
    peer=(--peer-python "$venv/bin/python")
fi
exec python3 bench/bench.py --gguf "$cache/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf" --data "$cache/data" "${peer[@]}" \
    --pairs "${PAIRS:-3}" --steps "${STEPS:-8}" --warmup "${WARMUP:-2}" --threads "${THREADS:-2}" --mode "${MODE:-lora}" \
    --cache "$cache/bench" --out build/bench/last.json
