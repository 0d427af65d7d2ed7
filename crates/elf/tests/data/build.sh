#!/bin/sh
# Makes the object files of this folder from their sources. Made with clang 14.0.6 and llvm-strip 14.0.6.
set -e
cd "$(dirname "$0")"
for name in core counter externs kernel locked maps newer; do
	clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c "$name.c" -o "$name.o"
done
# Objects for early loaders have no types.
clang -O2 -target bpf -c legacy.c -o legacy.o
# Tables of addresses come with LLVM 22: its code generator makes them of what an older front end says.
clang -O2 -target bpf -fdebug-compilation-dir=. -S -emit-llvm switch.c -o switch.ll
"${LLC:-llc-22}" -march=bpf -mcpu=v4 -bpf-min-jump-table-entries=3 -filetype=obj switch.ll -o switch.o
rm switch.ll
llvm-strip -g ./*.o
