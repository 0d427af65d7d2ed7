#!/usr/bin/env bash
# Runs the commands of the README's first screen, as a newcomer would: `tests/readme.sh [path of the built command]`.
set -euo pipefail
cd "$(dirname "$0")/.."
sandbpf=${1:-}
grep -E '^\$ ' README.md | sed 's/^\$ //' | while read -r line; do
  case $line in
    "cargo add "* | "cargo test "*) continue ;; # the first needs a project, the second is run beside this
  esac
  [ -z "$sandbpf" ] || line=${line/cargo run --release --quiet --bin sandbpf --/$sandbpf}
  echo "+ $line"
  eval "$line"
done
