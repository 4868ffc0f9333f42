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
mapfile -t methods < <("$bin" --quiet methods | awk '/^[^ ]/ { print $1 }')
for method in "${methods[@]}"; do
    expect 0 '  equation       ' methods "$method"
    grep -qE '^  source         .*[0-9a-z]' "$dir/out" && grep -qE '^  learning rate  [0-9.e-]+ by default \(.+\)' "$dir/out" && ok ||
        bad "methods $method: source or learning rate"
done
[[ $(awk '/^## / { print $2 }' docs/METHODS.md | xargs) == "${methods[*]}" ]] && ok || bad 'docs/METHODS.md: a section a method, in order'
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

expect 0 '56,098,816' params --model llama-7b --method lora --set method.rank=32 --set method.targets=q_proj,k_proj,v_proj,up_proj,down_proj
expect 0 'loreft' params --model llama-3-8b # all methods
expect 0 'llama-3.2-1b' params --help
json params --model roberta-base --json
json params --model llama-3.2-3b --method dora --set method.rank=32 --set method.targets=q_proj,v_proj --json
for key in '"trainable_params":	9289728' '"total_params":	3222039552' '"percent_of_base":	0.289' '"percent_of_total":	0.288'; do
    grep -qF "$key" "$dir/out" && ok || bad "params --json has no $key"
done
echo '{"model":"mistral-7b","method":{"name":"lora","rank":32},"train":{"steps":3}}' >"$dir/lora.json"
expect 0 '83,886,080' params --config "$dir/lora.json"
refuses 2 'llama-7b' params --model lama-7b
refuses 2 'did you mean lora' params --model llama-7b --method lroa
refuses 2 'method.rank' params --model llama-7b --method lora --set method.rnk=4
refuses 2 'whole number' params --model llama-7b --method lora --set method.rank=many
refuses 2 'KEY=VALUE' params --model llama-7b --method lora --set rank
refuses 2 'no method is chosen' params --model llama-7b --set method.rank=4
refuses 2 'trains nothing' params --model vit-b-16 --method lora --set method.targets=gate_proj
refuses 2 'trains nothing' params --model llama-7b --method loreft --set method.layers=40
refuses 2 'no model given' params
refuses 3 "$dir/none.json" params --model "$dir/none.json"

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
