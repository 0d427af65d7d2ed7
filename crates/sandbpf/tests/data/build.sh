#!/bin/sh
# Makes the object of this folder. Casts between address spaces come with LLVM 19: clang 14.0.6 reads the source, and the
# code generator of LLVM 22 makes instructions of it.
set -e
cd "$(dirname "$0")"
clang -O2 -g -target bpf -fdebug-compilation-dir=. -Xclang -opaque-pointers -S -emit-llvm arena.c -o arena.ll
"${LLC:-llc-22}" -march=bpf -mcpu=v4 -filetype=obj arena.ll -o arena.o
rm arena.ll
llvm-strip -g arena.o
