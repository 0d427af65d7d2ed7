//! Agreement on many random programs, for when no fuzzer is at hand:
//! `cargo run --release --example agree -- [FIRST [COUNT]]`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |arg| arg.parse());
    let (first, count) = (number(0)?, number(100_000)?);
    for seed in first..first.saturating_add(count) {
        let bytes = sandbpf_testkit::generate::random(seed);
        sandbpf_testkit::agree(&bytes);
        sandbpf_testkit::classic_agree(&bytes);
    }
    println!("{count} programs of each kind agree");
    Ok(())
}
