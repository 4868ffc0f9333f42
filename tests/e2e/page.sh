#!/usr/bin/env bash
# page.sh - the page of `report --format html`: well-formed, self-contained, safe from what databases hold, and used in a real browser where
# there is one: no message on the console, sorted by a click, filtered by a word.
source "$(dirname "$0")/lib.bash"
skipped=0
cat >"$dir/plan.json" <<'PLAN'
{
    "name": "page", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0, 1], "baseline": true,
    "config": {"train.steps": 3, "train.batch": 8, "eval.limit": 60},
    "methods": [{"method": "lora", "label": "</script><script>alert(1)</script>"}, "svf", {"method": "ia3", "label": "ia3 & \"quoted\" <b>"}, "direft"]
}
PLAN
db=$dir/page.db page=$dir/page.html
run sweep "$dir/plan.json" --db "$db" --quiet
[[ $status -eq 0 ]] && ok || bad "sweep: $(cat "$dir/err")"
run report --db "$db" --format html --out "$page"
[[ $status -eq 0 ]] && ok || bad "report: $(cat "$dir/err")"

grep -qF '&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;' "$page" && ! grep -qF '<script>alert' "$page" && ok || bad 'a label is not escaped'
[[ $(grep -c '<script>' "$page") -eq 1 ]] && ok || bad 'more than the one script'
grep -qE '(src|href)="?(https?:|//)|@import|url\([^#]' "$page" && bad 'the page asks for something from elsewhere' || ok
grep -q "Content-Security-Policy.*default-src 'none'" "$page" && ok || bad 'nothing forbids the network'
if command -v python3 >/dev/null; then
    python3 - "$page" <<'CHECK' && ok || bad 'elements do not nest, or ids are not unique'
import html.parser, sys
class Page(html.parser.HTMLParser):
    void, stack, ids = {"meta", "input", "br", "link"}, [], []
    def handle_starttag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.void: self.stack.append(tag)
    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, (tag, self.getpos())
page = Page()
page.feed(open(sys.argv[1]).read())
assert not page.stack, page.stack
assert len(page.ids) == len(set(page.ids)), sorted(page.ids)
CHECK
fi

# In a browser a script added for the test clicks on a head and types into the filter, then says what is there.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ -z $browser ]]; then
    echo 'skip the page in a browser: no chromium'
    skipped=1
else
    cat >"$dir/act.js" <<'ACT'
<script>
const head = Array.from(document.querySelectorAll("#paper thead th")).find((h) => h.textContent.includes("acc"));
head.querySelector("button").click();
const order = Array.from(document.querySelectorAll("#paper tbody tr")).map((r) => r.cells[head.cellIndex].dataset.v);
const input = document.querySelector("input[data-table=paper]");
input.value = "SVF";
input.dispatchEvent(new Event("input"));
const shown = Array.from(document.querySelectorAll("#paper tbody tr")).filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const named = Array.from(document.querySelectorAll("table")).every((t) => getComputedStyle(t.caption).display !== "none");
const drawn = Math.min(...Array.from(document.querySelectorAll("figure svg")).map((s) => s.getBoundingClientRect().width));
const p = document.createElement("p");
p.textContent = "RESULT " + JSON.stringify({ sort: head.getAttribute("aria-sort"), order, shown, wide, named, small: drawn < 500 });
document.body.append(p);
</script>
ACT
    { sed '/<\/body>/,$ d' "$page"; cat "$dir/act.js"; echo '</body></html>'; } >"$dir/acted.html"
    for width in 400 1600; do
        timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --enable-logging=stderr --v=0 --window-size=$width,1200 \
            --virtual-time-budget=2000 --dump-dom "file://$dir/acted.html" >"$dir/dom" 2>"$dir/console"
        result=$(grep -oE 'RESULT .*' "$dir/dom" | sed 's/<\/p>.*//; s/&quot;/"/g')
        grep -q 'CONSOLE' "$dir/console" && bad "the console says: $(grep -m 3 CONSOLE "$dir/console")" || ok
        grep -q '"sort":"descending"' <<<"$result" && ok || bad "not sorted, best first: $result"
        [[ $(grep -oE '"order":\[[^]]*\]' <<<"$result" | grep -oE '[0-9.]+' | sort -gr | paste -sd' ') == "$(grep -oE '"order":\[[^]]*\]' <<<"$result" | grep -oE '[0-9.]+' | paste -sd' ')" ]] && ok || bad "order: $result"
        grep -q '"shown":\["svf"\]' <<<"$result" && ok || bad "filter: $result"
        grep -q '"wide":false' <<<"$result" && ok || bad "at $width px the page itself scrolls sideways"
        grep -q '"named":true' <<<"$result" && ok || bad "a table's caption is hidden from readers that see no headings: $result"
        grep -q '"small":false' <<<"$result" && ok || bad "a figure is so small at $width px that its words cannot be read: $result"
        timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --hide-scrollbars --window-size=$width,1200 \
            --screenshot="$dir/$width.png" "file://$page" >/dev/null 2>&1
        [[ $(wc -c <"$dir/$width.png") -gt 20000 ]] && ok || bad "the picture at $width px is empty"
    done
    if command -v pdftotext >/dev/null; then
        timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --print-to-pdf="$dir/page.pdf" "file://$page" >/dev/null 2>&1
        pdftotext "$dir/page.pdf" - | tr '\n' ' ' >"$dir/printed"
        grep -q 'numbers that training changes' "$dir/printed" && ok || bad 'what the columns mean is not printed'
        grep -q 'filter rows' "$dir/printed" && bad 'what only a screen can use is printed' || ok
    else
        echo 'skip the printed page: no pdftotext'
        skipped=$((skipped + 1))
    fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
