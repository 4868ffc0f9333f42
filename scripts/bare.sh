#!/usr/bin/env bash
# bare.sh - the README's two commands on a system where nothing is installed but make: a fresh Debian or Ubuntu in a folder, with a copy of
# the committed tree. Wants root, debootstrap and a package mirror.
#
#   scripts/bare.sh [SUITE [TARGET ...]]      default: bookworm demo test
#
# BARE_DIR keeps the base system for the next time (default: a folder in $TMPDIR); each call starts from a copy of it.
# What pip needs to find packages (/etc/pip.conf) is taken along when there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:-bookworm}
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] || targets=(demo test)
base=${BARE_DIR:-${TMPDIR:-/tmp}/peftmeter-bare}/$suite
root=$(mktemp -d)

leave() {
    umount "$root/proc" "$root/dev" 2>/dev/null || true
    mountpoint -q "$root/dev" || rm -rf "$root" # never through a mount
}
trap leave EXIT
command -v debootstrap >/dev/null || { echo "bare: debootstrap is not installed" >&2; exit 3; }
if [[ ! -d $base ]]; then
    mkdir -p "$base.new"
    debootstrap --variant=minbase --include=make,ca-certificates "$suite" "$base.new" >/dev/null
    mv "$base.new" "$base"
fi
cp -a "$base/." "$root"
git clone -q . "$root/srv/peftmeter"
cp /etc/resolv.conf "$root/etc/resolv.conf"
[[ ! -e /etc/pip.conf ]] || cp /etc/pip.conf "$root/etc/pip.conf"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
for target in "${targets[@]}"; do
    printf '== make %s on a bare %s\n' "$target" "$suite"
    SECONDS=0
    # shellcheck disable=SC2016  # $1 is the inner shell's
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp chroot "$root" sh -c 'cd /srv/peftmeter && make "$1"' sh "$target"
    printf '== make %s: %d s\n' "$target" "$SECONDS"
done
