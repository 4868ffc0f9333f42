#!/usr/bin/env bash
# datasette.sh - browse a results database: Datasette (`pip install datasette`), with what results/metadata.json says of tables and columns.
#
#   scripts/datasette.sh results/demo.db [datasette's options, for example --port 8002]
#
# Why a script: Datasette looks descriptions up under the file's name, and every database here has its own. Nothing is written.
set -euo pipefail
file=${1:?usage: scripts/datasette.sh FILE [options]}
shift
[[ -f $file ]] || { echo "datasette.sh: no file $file" >&2; exit 3; }
command -v "${DATASETTE:=datasette}" >/dev/null || { echo 'datasette.sh: no datasette: pip install datasette, or DATASETTE=PROGRAM' >&2; exit 3; }
name=$(basename "$file")
name=${name%.*}
exec "$DATASETTE" serve "$file" --metadata <(sed "s|^  \"results\": {|  \"$name\": {|" "$(dirname "$0")/../results/metadata.json") "$@"
