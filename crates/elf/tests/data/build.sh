#!/bin/sh
# Makes the object files of this folder from their sources. Made with clang 14.0.6 and llvm-strip 14.0.6.
set -e
cd "$(dirname "$0")"
for name in core counter externs kernel maps; do
	clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c "$name.c" -o "$name.o"
done
# Objects for early loaders have no types.
clang -O2 -target bpf -c legacy.c -o legacy.o
llvm-strip -g ./*.o
