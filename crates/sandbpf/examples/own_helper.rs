//! Gives programs a helper of one's own, and watches what they execute.

use sandbpf::helpers::{Bytes, HelperSet, Scalar};
use sandbpf::{Buffer, Loader, Observer, Pc, Program, Registers};

sandbpf::helpers! {
    static MINE;
    /// Counts how often `byte` occurs in `data`.
    1000 fn count_byte(machine, byte: Scalar, data: Bytes) {
        let data = data.read(machine)?;
        Ok(data.iter().filter(|&&b| u64::from(b) == byte.0).count() as u64)
    }
}

#[derive(Default)]
struct Trace(Vec<Pc>);

impl Observer for Trace {
    fn step(&mut self, pc: Pc, _registers: &Registers) {
        self.0.push(pc);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let program: Program<Buffer> = Loader::new().helpers(HelperSet::linux().with(MINE)).load(
        "r3 = r2      // how many bytes
         r2 = r1      // where
         r1 = 97      // 'a'
         call 1000
         exit",
    )?;
    println!("{} times 'a'", program.run(b"a banana")?);

    let mut trace = Trace::default();
    program.runner().run_observed(b"a banana", &mut trace)?;
    println!("executed {:?}", trace.0);
    Ok(())
}
