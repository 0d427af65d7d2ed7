#!/bin/sh
# Makes the object files of this folder from their sources. Made with clang 14.0.6 and llvm-strip 14.0.6.
set -e
cd "$(dirname "$0")"
clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c events.c -o events.o
llvm-strip -g ./*.o
