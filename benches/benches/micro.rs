//! What our own work costs, for regressions: loading step by step, and entering a program that does nothing.
//!
//! `cargo bench -p sandbpf-benches --bench micro`; criterion compares with the run before.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sandbpf::{Buffer, Engine, Loader, Packet, Program, SocketFilter, classic, isa};
use sandbpf_benches::classic::FILTERS;
use sandbpf_benches::generated::{self, Shape};
use sandbpf_benches::packets;

const LENGTH: usize = 4000;

const ENGINES: [(&str, Engine); 3] =
    [("jit", Engine::Jit), ("interpreter", Engine::Interpreter), ("step", Engine::Step)];

/// From bytes or text to a program, one step at a time.
fn load(c: &mut Criterion) {
    let program = generated::program(LENGTH, Shape::Branching);
    let (bytes, text) = (program.to_bytes(), program.to_string());
    let mut group = c.benchmark_group("load");
    group.throughput(Throughput::Elements(LENGTH as u64));
    group.bench_function("decode", |b| b.iter(|| isa::decode(black_box(&bytes))));
    group.bench_function("encode", |b| b.iter(|| black_box(&program).to_bytes()));
    group.bench_function("parse", |b| b.iter(|| isa::parse(black_box(&text))));
    group.bench_function("print", |b| b.iter(|| black_box(&program).to_string()));
    for (name, engine) in ENGINES {
        let loader = Loader::new().engine(engine);
        if loader.load::<Buffer>(&bytes).is_ok() {
            group.bench_function(format!("load, {name}"), |b| {
                b.iter(|| loader.load::<Buffer>(black_box(&bytes)));
            });
        }
    }
    group.finish();
}

/// From a classic filter to a program.
fn classic(c: &mut Criterion) {
    let mut group = c.benchmark_group("classic");
    for filter in FILTERS {
        let insns = filter.insns();
        group.throughput(Throughput::Elements(insns.len() as u64));
        group.bench_function(format!("check, {}", filter.name), |b| {
            b.iter(|| classic::Filter::check(black_box(&insns), classic::Dialect::Libpcap));
        });
        let checked = classic::Filter::check(&insns, classic::Dialect::Libpcap).expect("tcpdump wrote it");
        group.bench_function(format!("lower, {}", filter.name), |b| {
            b.iter(|| classic::lower(black_box(&checked)))
        });
    }
    group.finish();
}

/// In and out again: what every run pays.
fn enter(c: &mut Criterion) {
    let mut group = c.benchmark_group("enter");
    let packet = packets::tcp4(packets::LISTED, 80);
    let batch = vec![packet.as_slice(); 256];
    for (name, engine) in ENGINES {
        let loader = Loader::new().engine(engine);
        let (Ok(buffer), Ok(filter)): (Result<Program<Buffer>, _>, Result<Program<SocketFilter>, _>) =
            (loader.load("r0 = 1\nexit"), loader.load("ret #1"))
        else {
            continue;
        };
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("Program::run, buffer, {name}"), |b| {
            b.iter(|| buffer.run(black_box(&packet)))
        });
        group.bench_function(format!("Program::run, packet, {name}"), |b| {
            b.iter(|| filter.run(black_box(&packet)))
        });
        let mut runner = filter.runner();
        group.bench_function(format!("Runner::run, packet, {name}"), |b| {
            b.iter(|| runner.run(black_box(&packet)))
        });
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(format!("Runner::run_batch, packets, {name}"), |b| {
            b.iter(|| {
                let mut matched = 0;
                let packets = black_box(&batch).iter().copied();
                runner.run_batch(packets, |_, verdict| {
                    matched += u64::from(verdict.is_ok_and(|v| v.matched()))
                });
                matched
            });
        });
    }
    group.finish();
}

/// Packet loads: what filters are made of.
fn filter(c: &mut Criterion) {
    let mut group = c.benchmark_group("filter");
    let packet = packets::tcp4(packets::LISTED, 80);
    for filter in FILTERS {
        for (name, engine) in ENGINES {
            let Ok(program) = Loader::new().engine(engine).load::<SocketFilter>(filter.text) else {
                continue;
            };
            let mut runner = program.runner();
            group.bench_function(format!("{}, {name}", filter.name), |b| {
                b.iter(|| runner.run(Packet::from(black_box(&packet))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, load, classic, enter, filter);
criterion_main!(benches);
