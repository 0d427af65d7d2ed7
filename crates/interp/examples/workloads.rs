//! Times the fast interpreter: nanoseconds an executed instruction, for every program of a folder.
//!
//! `taskset -c 1 cargo run --release -p sandbpf-interp --example workloads -- FOLDER [PROGRAM…]`, where `FOLDER` has
//! `bin/NAME.pfx_v3.bin` (instructions; `r1` points to `[u64 length][data]`) and `inputs/NAME.bin` (the data). A program
//! that does not run is named and passed over.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use sandbpf_interp::{Code, Observer, Step};
use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, Registers, address};

/// Batches of each program: the fastest counts.
const ROUNDS: usize = 400;
/// About how many instructions a batch executes.
const BATCH: u64 = 300_000;

#[derive(Default)]
struct Count(u64);

impl Observer for Count {
    fn step(&mut self, _pc: Pc, _registers: &Registers) {
        self.0 += 1;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("expected the folder of the workloads")?;
    let (folder, wanted) = (Path::new(&folder), arguments.collect::<Vec<_>>());
    if !folder.join("inputs").is_dir() {
        println!("{}: no workloads here", folder.display());
        return Ok(());
    }
    let mut logarithms = Vec::new();
    let mut inputs = std::fs::read_dir(folder.join("inputs"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    inputs.sort();
    for input in inputs {
        let name = input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let program = sandbpf_isa::decode(&std::fs::read(folder.join(format!("bin/{name}.pfx_v3.bin")))?)?;
        let data = std::fs::read(&input)?;
        let memory = [&(data.len() as u64).to_le_bytes(), &data[..]].concat();
        match measure(&program, &memory) {
            Ok((executed, each)) => {
                println!("{name:14} {executed:7} {each:6.3}");
                // A few instructions say more about entering a run than about the loop.
                if executed > 30 {
                    logarithms.push(each.ln());
                }
            }
            Err(error) => println!("{name:14} does not run: {error}"),
        }
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
    println!("geometric mean of {} programs longer than 30: {mean:.3}", logarithms.len());
    Ok(())
}

/// How many instructions a run executes, and nanoseconds each.
fn measure(program: &Program, input: &[u8]) -> Result<(u64, f64), Box<dyn Error>> {
    let (code, step) = (Code::new(program.clone()), Step::new(program.clone()));
    let helpers = HelperSet::linux();
    let mut stack = Stack::default();
    let mut run = |memory: &mut [u8], count: Option<&mut Count>| -> Result<u64, Box<dyn Error>> {
        let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1 << 40);
        machine.memory.set_buffer(Region::Write(memory))?;
        machine.registers[1] = address::BUFFER;
        Ok(match count {
            Some(count) => step.observe(&mut machine, count)?,
            None => code.execute(&mut machine)?,
        })
    };
    let mut count = Count::default();
    let expected = run(&mut input.to_vec(), Some(&mut count))?;
    let mut memory = input.to_vec();
    let answer = run(&mut memory, None)?;
    if answer != expected {
        return Err(format!("answers {answer:#x}, right is {expected:#x}").into());
    }
    let runs = (BATCH / count.0).max(1);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..runs {
            black_box(run(&mut memory, None)?);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (runs * count.0) as f64);
    }
    Ok((count.0, best))
}
