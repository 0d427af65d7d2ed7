//! Accepted programs held against their proofs, until so many steps were: for when no fuzzer is at hand:
//! `cargo run --release --example proved -- [FIRST [STEPS]]`.

use std::io::IsTerminal as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |arg| arg.parse());
    let (first, wanted) = (number(0)?, number(1_000_000)?);
    let (mut steps, mut accepted, mut seed) = (0, 0u64, first);
    while steps < wanted {
        if let Some(more) = sandbpf_testkit::proved::agree(&sandbpf_testkit::generate::random(seed)) {
            steps += more;
            accepted += 1;
        }
        seed += 1;
        if seed.is_multiple_of(1000) && std::io::stderr().is_terminal() {
            eprint!("\r{steps} of {wanted} steps");
        }
    }
    println!("{steps} steps of {accepted} accepted programs (seeds {first} to {seed}) are as proved");
    Ok(())
}
