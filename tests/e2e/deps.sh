#!/usr/bin/env bash
# deps.sh - scripts/deps.sh on a machine that has nothing: a PATH with the shell's own tools and an apt-get that only writes down what it is told.
# Nothing is installed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
mkdir "$dir/bin"
for tool in bash env awk grep sort cat sed head dirname; do ln -s "$(command -v $tool)" "$dir/bin/$tool"; done
# APT_FAILS names a package that this distribution lacks.
cat >"$dir/bin/apt-get" <<END
#!$(command -v bash)
echo "\$*" >>"$dir/calls"
[[ -z \${APT_FAILS:-} || " \$* " != *" \$APT_FAILS "* ]]
END
printf '#!%s\n"$@"\n' "$(command -v bash)" >"$dir/bin/sudo"
chmod +x "$dir/bin/apt-get" "$dir/bin/sudo"

deps() { # environment and options: leaves $out, $status
    : >"$dir/calls"
    out=$(env -u CC PATH="$dir/bin" "$@" 2>&1 </dev/null)
    status=$?
}
check() { # what, command
    if "${@:2}"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        printf 'FAIL %s: exit %d; it said:\n%s\n' "$1" "$status" "$out"
    fi
}
says() { grep -qE -- "$1" <<<"$out"; }
called() { grep -qE -- "$1" "$dir/calls"; }
# Apt's names for the needs in $1, but for what is looked up by file: those are there where this test runs.
names() {
    awk -v needs="$1" '/^# name/ { on = 1 } /^END/ { on = 0 }
        on && index(needs, $2) && $3 !~ /openblas|ca_certs/ && $1 != "#" { print $4 }' scripts/deps.sh | sort -u
}
lists_all() { # needs
    local p
    for p in $(names "$1"); do grep -qE "apt-get install .* $p( |\$)" <<<"$out" || { echo "not in the command: $p"; return 1; }; done
}

check 'the table is read' test "$(names ROTD | wc -l)" -ge 18
deps scripts/deps.sh --check
check '--check fails where something required is missing' test $status -eq 1
check '--check installs nothing' test ! -s "$dir/calls"
deps DRY=1 scripts/deps.sh
check 'DRY says what is missing and why' says '^  sqlite +required +the results database'
check 'DRY names all that is required and optional' lists_all RO
check 'DRY leaves out what only developers want' eval '! says shellcheck'
check 'DRY installs nothing' test ! -s "$dir/calls"
deps DRY=1 scripts/deps.sh --test
check '--test names what tests want' lists_all ROT
deps DRY=1 scripts/deps.sh --dev
check '--dev names everything' lists_all ROTD
deps scripts/deps.sh
check 'it installs' called '^install -y .* gcc .*libsqlite3-dev'
check 'what is still missing afterwards is an error' test $status -eq 3
deps APT_FAILS=libdnnl-dev scripts/deps.sh
check 'package lists are refreshed when a package is not found' called '^update$'
check 'an optional package that does not exist keeps no required one away' eval 'tail -n 1 "$dir/calls" | grep -v libdnnl | grep -q libsqlite3-dev'
rm "$dir/bin/apt-get"
deps scripts/deps.sh
check 'without a package manager it says so' says 'install the list above by hand'
check 'without a package manager it fails' test $status -eq 3

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
