#!/usr/bin/env bash
# cli.sh - the command line as users and scripts meet it: exit codes, one error line and one hint line, JSON that is JSON, help
# everywhere, start-up time.
source "$(dirname "$0")/lib.bash"

expect 0 'usage: peftmeter' --help
expect 0 'usage: peftmeter' help
expect 0 'Exit codes' -h
expect 2 'usage: peftmeter'
expect 0 'commit' --version
json --version --json
for command in $("$bin" --help | sed -n '/^  peftmeter /d; s/^  \([a-z][a-z-]*\) .*/\1/p'); do
    expect 0 "usage: peftmeter $command" "$command" --help
    expect 0 "usage: peftmeter $command" help "$command"
    refuses 2 'no option --no-such-option' "$command" --no-such-option
done

refuses 2 'did you mean `peftmeter methods`' mehtods
refuses 2 'no subcommand xyzzy' xyzzy
refuses 2 'no option --xyzzy' --xyzzy
expect 0 'lora' methods
expect 0 'method.rank' methods lora
json methods --json
json --json methods lora
refuses 2 'did you mean lora' methods lroa
refuses 2 'too many: full' methods lora full
refuses 2 'did you mean --json' methods --jsno
refuses 2 'needs a value' compare 1 2 --db
refuses 2 'no option --json' methods --json=1
refuses 2 'not enough arguments' compare 1
refuses 3 "$dir/none.db" compare 1 2 --db "$dir/none.db"
[[ ! -e $dir/none.db ]] && ok || bad 'compare made a database'
echo 'this is no database, whatever its name says' >"$dir/text.db"
refuses 3 'not a database' compare 1 2 --db "$dir/text.db"
refuses 3 'is a folder' compare 1 2 --db "$dir"
refuses 2 $'no method' methods $'a\nb' # a newline in an argument stays on one line

refuses 2 'is not a count' generate --model x --max-new 4294967299 prompt # 3, if it were cut to an int
refuses 3 'directory' run --config /
echo '{"name":"x","kind":"riddle"}' >"$dir/riddle.json"
refuses 3 'kind' tasks "$dir/riddle.json"

if [[ -w /dev/full ]]; then
    "$bin" methods >/dev/full 2>"$dir/err"
    [[ $? -eq 3 ]] && grep -q 'No space left' "$dir/err" && ok || bad 'a full disk behind stdout is not reported'
fi
! grep -q $'\033' <(NO_COLOR=1 "$bin" methods xyzzy 2>&1) && ok || bad 'colour in spite of NO_COLOR'

# Processor time of twenty starts, in ms: on a busy machine the clock would measure the others.
TIMEFORMAT='%3U %3S'
cpu=$({ time for _ in {1..20}; do "$bin" methods >/dev/null; done; } 2>&1 | awk '{ print int(($1 + $2) * 1000 / 20) }')
limit=30
[[ $bin == *asan* ]] && limit=300 # the sanitizers map their shadow first
((cpu < limit)) && ok || bad "start-up takes $cpu ms, want below $limit"

finish
