#!/usr/bin/env bash
# Writes the classic filters beside it with `tcpdump -ddd`, for Ethernet and a snapshot length of 262144.
#
# tcpdump compiles a filter for the link type of the capture it reads, so an empty capture is enough.
# The committed files were written by tcpdump 4.99.3 with libpcap 1.10.3.
set -euo pipefail
cd "$(dirname "$0")"
empty=$(mktemp)
trap 'rm -f "$empty"' EXIT
printf '\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0' >"$empty"

filter() { tcpdump -r "$empty" -ddd "$2" 2>/dev/null >"$1.ddd"; }

# A hundred hosts without a pattern that a compiler could use: the low bits of a product.
hosts() {
  for i in $(seq 1 100); do
    n=$((i * 2654435761 % 16777216))
    printf '%sip dst host 10.%d.%d.%d' "${or:-}" $((n >> 16)) $((n >> 8 & 255)) $((n & 255))
    or=' or '
  done
}

filter ip 'ip'
filter tcp-port-80 'tcp port 80'
filter hosts "$(hosts)"

# A container's profile as the classic filter that it stands for; `SANDBPF` names the command.
"${SANDBPF:-../../target/release/sandbpf}" disasm container.json --to ddd >container.ddd
