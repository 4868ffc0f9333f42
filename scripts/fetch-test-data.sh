#!/usr/bin/env bash
# fetch-test-data.sh - the real model and the data that the strongest tests want, into the cache ($PEFTMETER_CACHE, else ~/.cache/peftmeter).
#   scripts/fetch-test-data.sh [model] [data]    both without arguments
#   PEFTMETER_MIRROR=DIR                         takes data files from this folder first
# What is there already is checked, not fetched again.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
bin=build/release/peftmeter

fetch() { # model | data
    case $1 in
    model) "$bin" models fetch smollm2-135m ;;
    data) "$bin" data fetch --all ${PEFTMETER_MIRROR:+--mirror "$PEFTMETER_MIRROR"} ;;
    *) echo "fetch-test-data: $1: model or data" >&2; return 2 ;;
    esac
}
status=0
[[ $# -gt 0 ]] || set -- model data
for what in "$@"; do fetch "$what" || status=1; done
exit $status
