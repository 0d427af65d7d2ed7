use sandbpf_interp::Code;
use sandbpf_runtime::{
    Execute, FrozenHost, Machine, address,
    helpers::HelperSet,
    memory::{Region, Stack},
};
use std::time::Instant;
fn main() {
    let rep = |s: &str, n: usize| {
        (0..n).map(|i| s.replace("{i}", &(i % 4 + 5).to_string())).collect::<Vec<_>>().join("\n")
    };
    let cases: Vec<(&str, String, usize)> = vec![
        ("64 dep add reg", rep("r3 += r1", 64), 64),
        ("64 indep add reg", rep("r{i} += r1", 64), 64),
        ("64 dep addi", rep("r3 ^= 3", 64), 64),
        ("64 indep addi", rep("r{i} ^= 3", 64), 64),
        ("64 mov chain", rep("r4 = r3\nr3 = r4", 32), 64),
        ("1 add", rep("r3 += r1", 1), 1),
        ("2 add", rep("r3 += r1", 2), 2),
        ("4 add", rep("r3 += r1", 4), 4),
        ("8 add", rep("r3 += r1", 8), 8),
        ("fib", "r0 = r3\nr3 += r1\nw5 += -1\nr1 = r0".into(), 4),
        ("0", "".into(), 0),
        ("64 ja", rep("goto +0", 64), 64),
        ("64 jeq taken", rep("if r1 != 77 goto +0", 64), 64),
        ("64 jeq not taken", rep("if r1 == 77 goto +0", 64), 64),
        ("64 jgt not taken", rep("if r1 < 77 goto +0", 64), 64),
        ("32 jgt taken;add", rep("if r1 > 77 goto +0\nr{i} ^= 3", 32), 64),
        ("64 load", rep("r{i} = *(u32 *)(r1 + 0)", 64), 64),
        ("64 store", rep("*(u32 *)(r1 + 0) = r{i}", 64), 64),
        ("64 mov imm", rep("r{i} = 5", 64), 64),
        ("64 wide imm", rep("r{i} = 0x500000000 ll", 64), 64),
    ];
    let helpers = HelperSet::linux();
    let mut stack = Stack::default();
    for (name, body, n) in cases {
        let text = format!(
            "r2 = 1000\nr3 = 0\nr5=0\nr6=0\nr7=0\nr8=0\nr0=0\nloop:\n{body}\nr2 += -1\nif r2 != 0 goto loop\nexit"
        );
        let program = sandbpf_isa::parse(&text).unwrap();
        let code = Code::new(program);
        let mut best = f64::MAX;
        for _ in 0..200 {
            let t = Instant::now();
            let mut m = Machine::new(&mut stack, &helpers, &FrozenHost, 1 << 40);
            m.registers[1] = address::BUFFER;
            let mut b = [0u8; 8];
            m.memory.set_buffer(Region::Write(&mut b)).unwrap();
            std::hint::black_box(code.execute(&mut m).unwrap());
            best = best.min(t.elapsed().as_nanos() as f64 / 1000.0);
        }
        println!(
            "{name:20} {:.2} ns/iter {:.1} cyc, per insn {:.2} cyc",
            best,
            best * 3.0,
            best * 3.0 / (n + 2) as f64
        );
    }
}
