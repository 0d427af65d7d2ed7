//! The functions of a program: who may be called by whom, who catches what is thrown, and how much stack they need
//! together. The verdicts are those of Linux 6.18 on the same programs.

use sandbpf_abi::{Program, ProgramType, kfuncs};
use sandbpf_isa::Pc;
use sandbpf_verifier::{Environment, Errno, Rejection, Signature, verify};

fn signature(entry: u32, name: &str, global: bool) -> Signature {
    Signature { entry: Pc(entry), name: name.into(), global, type_id: 1, unreliable: false }
}

fn refused(of: ProgramType, text: &str, change: impl Fn(&mut Environment<'_>)) -> Option<Rejection> {
    let program = sandbpf_isa::parse(text).expect("a program");
    let mut env = Environment::new(Program::new(of));
    change(&mut env);
    let program = match env.exception_callback {
        Some(entry) => program.with_function(entry).expect("a function"),
        None => program,
    };
    verify(&program, &env).err().map(|rejection| *rejection)
}

fn throw() -> i32 {
    kfuncs::named("bpf_throw").expect("a kernel function").0
}

#[test]
fn packet_loads_and_tail_calls_need_types() {
    let load = "call pc+1\nexit\nr6 = r1\nr0 = *(u8 *)skb[0]\nexit";
    let rejection = refused(ProgramType::SocketFilter, load, |_| {}).expect("a rejection");
    assert_eq!(rejection.message, "LD_ABS is not allowed in subprogs without BTF");
    let tail = "call pc+1\nexit\nr2 = 0\nr3 = 0\ncall 12\nexit";
    let rejection = refused(ProgramType::SocketFilter, tail, |_| {}).expect("a rejection");
    assert_eq!(rejection.message, "tail_call is not allowed in subprogs without BTF");
    assert_eq!(rejection.errno, Errno::Inval);
}

#[test]
fn what_catches_is_reached_by_no_call() {
    let text = format!("r1 = 0\ncall kfunc#{}\nexit\nr0 = r1\nexit", throw());
    assert!(refused(ProgramType::SchedCls, &text, |env| env.exception_callback = Some(Pc(3))).is_none());
    let rejection = refused(ProgramType::SchedCls, &text, |_| {}).expect("a rejection");
    assert_eq!(rejection.message, "unreachable insn 3");
}

#[test]
fn what_catches_is_not_called() {
    let text = "r1 = 0\ncall pc+1\nexit\nr0 = r1\nexit";
    let signatures = [signature(0, "main", true), signature(3, "catch", true)];
    let rejection = refused(ProgramType::SchedCls, text, |env| {
        env.exception_callback = Some(Pc(3));
        // They live as long as the test.
        env.signatures = Box::leak(Box::new(signatures.clone()));
    });
    let rejection = rejection.expect("a rejection");
    assert_eq!(rejection.message, "insn 1 cannot call exception cb directly");
    assert!(refused(ProgramType::SchedCls, text, |_| {}).is_none());
}

#[test]
fn what_catches_throws_nothing() {
    let text = format!("r0 = 0\nexit\nr1 = 0\ncall kfunc#{}\nexit", throw());
    let rejection = refused(ProgramType::SchedCls, &text, |env| env.exception_callback = Some(Pc(2)));
    let rejection = rejection.expect("a rejection");
    assert_eq!(rejection.message, "bpf_throw kfunc (insn 3) cannot be called from callback subprog 1");
}

#[test]
fn stacks_are_private_where_programs_are_entered_again() {
    let text = "*(u64 *)(r10 - 400) = 0\ncall pc+2\nr0 = 0\nexit\n*(u64 *)(r10 - 400) = 0\nr0 = 0\nexit";
    assert!(refused(ProgramType::Kprobe, text, |_| {}).is_none());
    let rejection = refused(ProgramType::SchedCls, text, |_| {}).expect("a rejection");
    assert_eq!(rejection.message, "combined stack size of 2 calls is 800. Too large");
    let rejection = refused(ProgramType::RawTracepointWritable, text, |_| {}).expect("a rejection");
    assert_eq!(rejection.errno, Errno::Acces);
}

fn refused_static(text: &str) -> Option<Rejection> {
    let program = sandbpf_isa::parse(text).expect("a program");
    let static_functions = program.functions().iter().map(|function| signature(function.entry.0, "f", false));
    let signatures: Vec<Signature> = static_functions.collect();
    let mut env = Environment::new(Program::new(ProgramType::Tracepoint));
    env.signatures = &signatures;
    verify(&program, &env).err().map(|rejection| *rejection)
}

#[test]
fn a_dead_function_that_is_named_leaves_its_place_to_the_next() {
    let main = "r6 = subprog[dead]\nr1 = 1\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall 181\nr0 = 0\nexit\n";
    let names_what_is_dead = |functions: &str| refused_static(&format!("{main}{functions}"));
    let next = names_what_is_dead("dead: r0 = 1\nexit\nf: r0 = 0\nexit");
    assert!(next.is_none(), "{next:?}");
    let rejection = names_what_is_dead("f: r0 = 0\nexit\ndead: r0 = 1\nexit").expect("a rejection");
    assert_eq!(rejection.message, "verifier bug: No program to jit at insn 0 (subprog < 0)");
    assert_eq!(rejection.errno, Errno::Fault);
    // What was the second instruction of the dead one is nobody's first.
    let two = "also: r0 = 1\nexit\ndead: r0 = 1\nexit\nf: r0 = 0\nr0 = 0\nr0 = 0\nexit";
    assert!(names_what_is_dead(two).is_some());
    // Nothing else is called: one function is left, which is compiled without looking for others.
    let text = "r6 = subprog[dead]\nr0 = 0\nexit\ndead: r0 = 1\nexit";
    assert!(refused_static(text).is_none());
}
