//! The verifier behind the door: rejections as data, advice with examples that are true, and the page made of them.

use std::fmt::Write as _;
use std::path::Path;

use sandbpf::object::{Object, ObjectSet};
use sandbpf::{Advice, Buffer, KindName, Loader, Program, Rights, SocketFilter, Verifier, Xdp, isa};

fn parse(text: &str) -> isa::Program {
    isa::parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn every_advice_has_a_program_that_is_rejected_for_it_and_one_that_is_not() {
    for advice in Advice::ALL {
        let verifier = advice.example.verifier();
        let error = verifier.verify(&parse(advice.example.wrong)).expect_err(advice.title);
        let found = error.advice().map(|advice| advice.title);
        assert_eq!(found, Some(advice.title), "{}", error.message());
        if let Err(error) = verifier.verify(&parse(advice.example.right)) {
            panic!("{}: {error}", advice.title);
        }
    }
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verifier.md");
    let page = std::fs::read_to_string(&path).expect("docs/verifier.md can be read");
    const MARK: &str = "<!-- What follows is made from crates/sandbpf/src/verify/rejections.rs. -->\n";
    let (head, _) = page.split_once(MARK).expect("the page has a mark");
    let mut whole = format!("{head}{MARK}");
    for advice in Advice::ALL {
        let example = &advice.example;
        let error = example.verifier().verify(&parse(example.wrong)).expect_err(advice.title);
        let mut title = advice.title.to_string();
        title[..1].make_ascii_uppercase();
        let listing = |text: &str| isa::print(&parse(text)).trim_end().to_string();
        let _ = write!(
            whole,
            "\n### {title}\n\n> {} ({})\n\n{}\n\n**Mend:** {}\n\n",
            error.message().replace('\n', "  \n> "),
            error.errno(),
            advice.why,
            advice.mend
        );
        let program = parse(example.wrong);
        let at = error.pc().map(|at| format!(", rejected at `{}`", isa::print_insn(&program, at)));
        let at = at.unwrap_or_default();
        let _ = write!(
            whole,
            "A {} program{at}:\n\n```text\n{}\n```\n\nAccepted:\n\n```text\n{}\n```\n",
            example.program_type.name(),
            listing(example.wrong),
            listing(example.right)
        );
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &whole).expect("docs/verifier.md can be written");
    } else {
        assert!(page == whole, "docs/verifier.md is not what the table says; BLESS=1 rewrites it");
    }
}

#[test]
fn a_loader_that_verifies_refuses_what_linux_would() {
    let loader = Loader::new().verified(true);
    let error = loader.load::<SocketFilter>("r0 = *(u64 *)(r2 + 0)\nexit").unwrap_err();
    let rejection = error.verify().expect("a rejection");
    assert_eq!((rejection.errno_number(), rejection.instruction()), (13, Some(0)));
    assert_eq!(error.to_string(), "rejected: at 0: R2 !read_ok (EACCES)");
    // The same runs where nobody asks, and traps.
    assert!(Loader::new().load::<SocketFilter>("r0 = *(u64 *)(r2 + 0)\nexit").is_ok());
}

#[test]
fn classic_filters_have_other_rules_and_no_proof() {
    let filter: Program<SocketFilter> = Loader::new().verified(true).load("ret #1").expect("accepted");
    assert!(filter.proof().is_none());
}

#[test]
fn nothing_verifies_plain_memory() {
    let error = Loader::new().verified(true).load::<Buffer>("r0 = 0\nexit").unwrap_err();
    assert!(error.verify().is_none());
    assert_eq!(error.to_string(), "buffer programs are no type of program of Linux: nothing verifies them");
}

#[test]
fn rights_decide() {
    let leak = parse("*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nexit");
    let verifier = Verifier::of_kind(KindName::SocketFilter).expect("a type of Linux");
    assert!(verifier.clone().rights(Rights::Bpf).verify(&leak).is_err());
    let xdp = Verifier::of_kind(KindName::Xdp).expect("a type of Linux").rights(Rights::None);
    assert_eq!(xdp.verify(&parse("r0 = 2\nexit")).unwrap_err().errno(), "EPERM");
}

#[test]
fn programs_of_objects_are_verified_with_their_maps() {
    let file = std::fs::read("../elf/tests/data/counter.o").expect("the object is there");
    let set = ObjectSet::new(Object::parse(&file).expect("an object")).expect("maps");
    let count: Program<Xdp> = set.program("count", &Loader::new().verified(true)).expect("accepted");
    let proof = count.proof().expect("a proof");
    assert!(proof.statistics().processed > 10);
    assert!(proof.reaches(isa::Pc(0)));
}

#[test]
fn a_rejection_says_what_was_known_and_how_it_was_reached() {
    let program = parse(
        "r0 = *(u32 *)(r1 + 0)\nif r0 > 5 goto low\nr0 = 0\nexit\nlow: r2 = r0\nr2 &= 7\nr0 = *(u8 *)(r2 + 0)\nexit",
    );
    let error = Verifier::of_kind(KindName::SocketFilter).expect("a type").verify(&program).unwrap_err();
    assert_eq!((error.instruction(), error.path()), (Some(6), &[(1, 4)][..]));
    let (_, known) = error.registers().iter().find(|(number, _)| *number == 2).expect("r2 is known");
    assert_eq!(known, "scalar(smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))");
}

#[test]
fn the_log_is_the_kernels() {
    let program = parse("r0 = 0\nif r0 == 1 goto +1\n*(u64 *)(r10 - 8) = r0\nr0 = *(u64 *)(r1 + 400)\nexit");
    let verifier = Verifier::of_kind(KindName::SocketFilter).expect("a type").log_level(1);
    let error = verifier.verify(&program).unwrap_err();
    let lines: Vec<&str> = error.log().lines().collect();
    assert_eq!(
        lines,
        [
            "0: R1=ctx() R10=fp0",
            "0: (b7) r0 = 0                        ; R0=0",
            "1: (15) if r0 == 0x1 goto pc+1        ; R0=0",
            "2: (7b) *(u64 *)(r10 -8) = r0         ; R0=0 R10=fp0 fp-8=0",
            "3: (79) r0 = *(u64 *)(r1 +400)",
            "invalid bpf_context access off=400 size=8",
            "processed 4 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
        ]
    );
}
