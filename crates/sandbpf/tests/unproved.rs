//! Programs with a context of which nothing was proved: where they are planned, the packet is taken to be where it is when the run
//! begins, and whatever they do instead of asking must come out as if it had been asked for.

use sandbpf::{Engine, Limits, Loader, Program, Trap, Xdp, XdpAction, XdpFrame};

/// What a program answers, and what its packet is then.
fn outcomes(loader: &Loader, text: &str, length: usize, whole: bool) -> (Result<XdpAction, Trap>, Vec<u8>) {
    let program: Program<Xdp> = loader.load(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let data: Vec<u8> = (0..length).map(|at| (at * 7 + 3) as u8).collect();
    if whole {
        return (program.run(&data), data);
    }
    let mut frame = XdpFrame::new(&data);
    let result = program.runner().run(&mut frame);
    (result, frame.bytes().to_vec())
}

/// Machine code, the interpreter (without a machine, if the program is short) and the step engine do the same, on packets of many lengths, with much and with little to spend.
fn agree(text: &str) {
    for budget in [100_000, 40, 11, 3, 0] {
        let loader = Loader::new().limits(Limits { instructions: budget });
        for length in [0, 1, 7, 8, 9, 20, 33, 64, 100] {
            for whole in [false, true] {
                let [wanted, compiled, interpreted] = [Engine::Step, Engine::Auto, Engine::Interpreter]
                    .map(|engine| outcomes(&loader.clone().engine(engine), text, length, whole));
                assert_eq!(compiled, wanted, "compiled, {length} bytes, {budget} to spend\n{text}");
                assert_eq!(interpreted, wanted, "interpreted, {length} bytes, {budget} to spend\n{text}");
            }
        }
    }
}

/// `r6` is the start of the packet, `r7` its end.
const ENDS: &str = "r6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\n";

#[test]
fn loops_over_all_of_a_packet() {
    agree(&format!(
        "{ENDS}r0 = 0\nL1:\nif r6 >= r7 goto L2\nr2 = *(u8 *)(r6 + 0)\nr0 += r2\nr6 += 1\ngoto L1\nL2:\nr0 &= 3\nexit"
    ));
    // Beyond its end, and before its start.
    agree(&format!(
        "{ENDS}r0 = 0\nr3 = 0\nL1:\nr2 = *(u16 *)(r6 + 0)\nr0 ^= r2\nr6 += 2\nr3 += 1\nif r3 < 16 goto L1\nr0 &= 3\nexit"
    ));
    agree(&format!("{ENDS}r7 -= 1\nr0 = *(u8 *)(r7 + 0)\nr0 &= 3\nexit"));
    agree(&format!("{ENDS}r0 = *(u8 *)(r6 - 1)\nexit"));
    agree(&format!("{ENDS}r0 = *(u8 *)(r7 + 0)\nexit"));
}

#[test]
fn offsets_that_are_read() {
    agree(&format!(
        "{ENDS}r2 = r6\nr2 += 8\nif r2 > r7 goto L1\nr3 = *(u8 *)(r6 + 1)\nr3 &= 31\nr6 += r3\nr0 = *(u32 *)(r6 + 4)\nr0 &= 3\nexit\nL1:\nr0 = 0\nexit"
    ));
    agree(&format!(
        "{ENDS}r2 = r6\nr2 += 8\nif r2 > r7 goto L1\nr3 = *(u8 *)(r6 + 1)\nr6 += r3\n*(u16 *)(r6 + 2) = r3\nL1:\nr0 = 2\nexit"
    ));
}

#[test]
fn the_packet_is_written_to() {
    agree(&format!(
        "{ENDS}r3 = 0\nL1:\n*(u8 *)(r6 + 0) = r3\nr6 += 1\nr3 += 1\nif r3 != 12 goto L1\nr0 = 1\nexit"
    ));
}

#[test]
fn the_rest_of_the_context() {
    for field in [0, 2, 4, 8, 12, 16, 20, 21, 22, 24, 28] {
        agree(&format!("r0 = *(u32 *)(r1 + {field})\nr0 &= 3\nexit"));
        agree(&format!("r0 = *(u8 *)(r1 + {field})\nr0 &= 3\nexit"));
        agree(&format!("r0 = *(u16 *)(r1 + {field})\nr0 >>= 3\nr0 &= 3\nexit"));
        agree(&format!("r0 = *(u64 *)(r1 + {field})\nr0 >>= 32\nr0 &= 3\nexit"));
        // By an offset that is known when it runs only.
        agree(&format!(
            "{ENDS}r2 = r7\nr2 -= r6\nr2 &= 4\nr1 += r2\nr0 = *(u32 *)(r1 + {field})\nr0 &= 3\nexit"
        ));
    }
}

#[test]
fn who_writes_to_the_context_reads_what_was_written() {
    agree("*(u32 *)(r1 + 0) = 2\nr0 = *(u32 *)(r1 + 0)\nexit");
    agree("r2 = 3\n*(u8 *)(r1 + 5) = r2\nr0 = *(u32 *)(r1 + 4)\nr0 >>= 8\nr0 &= 255\nexit");
    // Where it writes is known when it runs only.
    agree(&format!(
        "{ENDS}r2 = r7\nr2 -= r6\nr2 &= 4\nr3 = r1\nr3 += r2\n*(u32 *)(r3 + 0) = 1\nr0 = *(u32 *)(r1 + 0)\nr0 &= 3\nexit"
    ));
    // Into the stack or the context, as the packet has it.
    agree(&format!(
        "{ENDS}r2 = r7\nr2 -= r6\nr3 = r10\nr3 -= 8\nr4 = 0\n*(u64 *)(r3 + 0) = r4\nif r2 & 1 goto L1\nr3 = r1\nL1:\n*(u32 *)(r3 + 0) = 2\nr0 = *(u32 *)(r1 + 0)\nr0 &= 3\nexit"
    ));
}

#[test]
fn words_on_the_stack_by_offsets_that_are_read() {
    agree(&format!(
        "{ENDS}r2 = r7\nr2 -= r6\nr2 &= 63\nr3 = r10\nr3 -= 64\nr3 += r2\n*(u32 *)(r3 - 2) = 77\nr0 = *(u32 *)(r10 - 40)\nr0 &= 3\nexit"
    ));
    agree(&format!(
        "{ENDS}r2 = r7\nr2 -= r6\nr2 <<= 3\nr3 = r10\nr3 -= 256\nr3 += r2\nr4 = 5\n*(u64 *)(r3 + 0) = r4\nr0 = *(u64 *)(r10 - 248)\nexit"
    ));
}
