#!/usr/bin/env bash
# plot.sh - figures of a sweep that was really run: every kind as SVG and PNG, read back, the same bytes again; and what it says without gnuplot.
source "$(dirname "$0")/lib.bash"

db=$dir/small.db
small_sweep "$db"

# Without gnuplot: a PATH that has nothing.
mkdir "$dir/bare"
PATH=$dir/bare "$bin" plot --db "$db" --out "$dir/none" >"$dir/out" 2>"$dir/err"
[[ $? -eq 3 && ! -s $dir/out ]] && grep -q 'gnuplot: start' "$dir/err" && ok || bad "without gnuplot: $(cat "$dir/err")"
grep -q 'make deps' "$dir/err" && ok || bad "no hint at make deps: $(cat "$dir/err")"
[[ ! -e $dir/none/accuracy.svg ]] && ok || bad 'a file without a figure'

refuses 2 'no kind acuracy' plot --db "$db" --kind acuracy
refuses 2 'did you mean --kind accuracy' plot --db "$db" --kind acuracy
refuses 2 'no format pdf' plot --db "$db" --format pdf
refuses 2 'no sweep large' plot --db "$db" --sweep large
refuses 3 'none.db' plot --db "$dir/none.db"

if ! command -v gnuplot >/dev/null; then
    echo 'skip: there is no gnuplot'
    finish
    exit
fi

kinds='accuracy loss memory throughput budget'
for format in svg png; do
    expect 0 "$dir/figures/budget.$format" plot --db "$db" --format $format --out "$dir/figures"
    expect 0 "$dir/again/budget.$format" plot --db "$db" --format $format --out "$dir/again"
done
for kind in $kinds; do
    svg=$dir/figures/$kind.svg png=$dir/figures/$kind.png
    for name in lora svf; do grep -q ">$name<" "$svg" && ok || bad "$kind.svg does not name $name"; done
    grep -q 'tiny_facts on tiny, sweep small' "$svg" && ok || bad "$kind.svg does not say of what it is"
    [[ $(head -c 8 "$png" | od -An -tx1 | tr -d ' ') == 89504e470d0a1a0a && $(wc -c <"$png") -gt 20000 ]] && ok || bad "$kind.png is no picture"
    cmp -s "$svg" "$dir/again/$kind.svg" && cmp -s "$png" "$dir/again/$kind.png" && ok || bad "$kind: other bytes from the same database"
done
grep -q '>untuned<' "$dir/figures/accuracy.svg" && ok || bad 'accuracy.svg does not name the untuned model'
if command -v python3 >/dev/null; then
    python3 - "$dir"/figures/*.svg <<'CHECK' && ok || bad 'SVG that is not well-formed, or ids that figures share'
import sys, xml.etree.ElementTree as tree
seen = set()
for path in sys.argv[1:]:
    ids = [e.get("id") for e in tree.parse(path).iter() if e.get("id")]
    assert ids and not seen & set(ids) and len(ids) == len(set(ids)), path
    seen |= set(ids)
CHECK
fi
json plot --db "$db" --kind loss --out "$dir/one" --json
[[ $(ls "$dir/one") == loss.svg ]] && ok || bad '--kind loss makes other files'
: >"$dir/file"
refuses 3 'make folder' plot --db "$db" --kind loss --out "$dir/file/x"

finish
