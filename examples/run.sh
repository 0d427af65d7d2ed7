#!/usr/bin/env bash
# Runs every example and compares with what it should say: `examples/run.sh [path of the built command]`; with BLESS=1 it writes that.
set -euo pipefail
cd "$(dirname "$0")/.."
sandbpf=${1:-target/release/sandbpf}
capture=tests/data/http.pcap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() {
  local name=$1
  shift
  "$@" > "$work/out"
  if [ -n "${BLESS:-}" ]; then cp "$work/out" "examples/$name/expected.txt"; fi
  diff -u "examples/$name/expected.txt" "$work/out"
  echo "ok: $name"
}

expect xdp-firewall "$sandbpf" run examples/xdp-firewall/firewall.o $capture \
  --set-map examples/xdp-firewall/blocked.json --maps -
expect tc-rewrite "$sandbpf" run examples/tc-rewrite/rewrite.o $capture -w "$work/rewritten.pcap"
if command -v tcpdump > /dev/null; then
  # Every checksum is right afterwards: tcpdump says so.
  ! tcpdump -nvr "$work/rewritten.pcap" 2> /dev/null | grep -E 'bad cksum|incorrect'
fi
expect tcpdump "$sandbpf" run examples/tcpdump/ip.txt $capture --list
expect opensnoop "$sandbpf" run examples/opensnoop/opensnoop.o --program enter \
  --input examples/opensnoop/events.json --maps - --events -
