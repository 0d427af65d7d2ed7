#!/usr/bin/env bash
# Runs every example and compares with what it should say: `examples/run.sh [path of the built command]`; with BLESS=1 it writes that.
set -euo pipefail
cd "$(dirname "$0")/.."
sandbpf=${1:-target/release/sandbpf}
capture=tests/data/http.pcap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The story so far, compared with what it should be: `expect FOLDER`.
expect() {
  if [ -n "${BLESS:-}" ]; then cp "$work/out" "examples/$1/expected.txt"; fi
  diff -u "examples/$1/expected.txt" "$work/out"
  rm "$work/out"
  echo "ok: $1"
}

# A step of a story: `tell COMMAND…`.
tell() {
  "$@" >> "$work/out"
}

tell "$sandbpf" run examples/xdp-firewall/firewall.o $capture \
  --set-map examples/xdp-firewall/blocked.json --maps -
expect xdp-firewall

tell "$sandbpf" run examples/tc-rewrite/rewrite.o $capture -w "$work/rewritten.pcap"
if command -v tcpdump > /dev/null; then
  # Every checksum is right afterwards: tcpdump says so.
  ! tcpdump -nvr "$work/rewritten.pcap" 2> /dev/null | grep -E 'bad cksum|incorrect'
fi
expect tc-rewrite

# What `tcpdump -d ip` prints, as text; and what it is to the engines.
tell "$sandbpf" run examples/tcpdump/ip.txt $capture --list
tell "$sandbpf" disasm examples/tcpdump/ip.txt --lowered
expect tcpdump

tell "$sandbpf" run examples/opensnoop/opensnoop.o --input examples/opensnoop/events.json --maps - --events -
expect opensnoop

tell "$sandbpf" run examples/ssl-capture/capture.o --input examples/ssl-capture/events.json --events -
tell "$sandbpf" run examples/ssl-capture/capture.o --input examples/ssl-capture/events.json --events - --set-global target=4244
expect ssl-capture

for input in open execve; do
  tell "$sandbpf" run examples/enforce/enforce.o --set-map examples/enforce/policy.json \
    --input examples/enforce/$input.json --events -
done
expect enforce

tell "$sandbpf" object examples/bpftrace/reads.o
tell "$sandbpf" run examples/bpftrace/reads.o --define-maps examples/bpftrace/maps.json \
  --input examples/bpftrace/events.json --maps -
expect bpftrace

calls=()
for call in read openat,x86_64,0,0xffffff9c,0x7f0000001000 socket,x86_64,0,2,1 socket,x86_64,0,40,1 \
  clone,x86_64,0,0x1200011 clone,x86_64,0,0x10000000 clone3 personality,x86_64,0,8 personality,x86_64,0,0x100000008 \
  mount chroot ptrace execve reboot 9999 read,i386 0x40000000 read,aarch64; do
  calls+=(--syscall "$call")
done
for policy in profile.json policy.txt; do
  tell echo "$policy:"
  tell "$sandbpf" run examples/seccomp/$policy "${calls[@]}"
done
expect seccomp
