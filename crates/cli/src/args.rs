//! The command line.

use std::path::PathBuf;

use clap::{Args as ArgsGroup, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Runs, checks, disassembles and assembles BPF programs, without root and without a kernel.
#[derive(Debug, Parser)]
#[command(
    name = "sandbpf",
    version,
    after_help = "Exit codes: 0 it ran; 1 the answer is no (refused, trapped, a vector failed, nothing matched \
                  with --exit-match); 2 bad usage or bad input."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program over captures, packets, system calls or memory
    Run(Run),
    /// Would it be accepted? The rule and the instruction if not
    Check(Check),
    /// Show a program in any text form
    Disasm(Disasm),
    /// Assemble text to bytes or numbers
    Asm(Asm),
    /// Run recorded answers of real kernels and of libpcap
    Vectors(Vectors),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Where a program comes from.
#[derive(Debug, ArgsGroup)]
pub(crate) struct Source {
    /// The program: a file in any text or binary form, or `-` for the standard input
    #[arg(required_unless_present = "code", conflicts_with = "code")]
    pub(crate) program: Option<PathBuf>,
    /// The program's text itself
    #[arg(short = 'e', long, value_name = "TEXT")]
    pub(crate) code: Option<String>,
    /// The form of the program; found out if not given
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) form: Form,
}

/// A form of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Find out
    Auto,
    /// Classic: what `tcpdump -d` prints
    TcpdumpD,
    /// Classic: what `tcpdump -dd` prints
    TcpdumpDd,
    /// Classic: what `tcpdump -ddd` prints
    TcpdumpDdd,
    /// Classic: one line of numbers, as for iptables and tc
    Bytecode,
    /// Classic: source for the kernel's bpf_asm
    BpfAsm,
    /// Classic: struct sock_filter, little-endian
    RawClassic,
    /// Extended: text as the kernel and llvm-objdump print it
    Asm,
    /// Extended: 8-byte instructions, little-endian
    Raw,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Whose rules classic filters follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    Libpcap,
    Linux,
    Seccomp,
}

impl From<Dialect> for sandbpf::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Libpcap => sandbpf::Dialect::Libpcap,
            Dialect::Linux => sandbpf::Dialect::Linux,
            Dialect::Seccomp => sandbpf::Dialect::Seccomp,
        }
    }
}

/// What runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Machine code where there is some
    Auto,
    /// The fast interpreter
    Interpreter,
    /// The readable interpreter
    Step,
    /// Machine code
    Jit,
}

impl From<Engine> for sandbpf::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => sandbpf::Engine::Auto,
            Engine::Interpreter => sandbpf::Engine::Interpreter,
            Engine::Step => sandbpf::Engine::Step,
            Engine::Jit => sandbpf::Engine::Jit,
        }
    }
}

#[derive(Debug, ArgsGroup)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,
    /// A capture to run over, pcap or pcapng; `-` for the standard input; may be given often
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Vec<PathBuf>,
    /// A packet in hexadecimal; may be given often
    #[arg(long, value_name = "HEX")]
    pub(crate) hex: Vec<String>,
    /// The length on the wire of packets given in hexadecimal
    #[arg(long, value_name = "BYTES")]
    pub(crate) wire_len: Option<u32>,
    /// A system call to judge: number[,arch[,ip[,arg…]]]; may be given often
    #[arg(long, value_name = "CALL", value_parser = crate::text::syscall, conflicts_with_all = ["pcap", "hex", "mem"])]
    pub(crate) syscall: Vec<sandbpf::SyscallData>,
    /// Memory in hexadecimal: r1 is its address, r2 its length
    #[arg(long, value_name = "HEX", conflicts_with_all = ["pcap", "hex"])]
    pub(crate) mem: Option<String>,
    /// Keep the packets that match
    #[arg(short, long, value_name = "FILE", requires = "pcap")]
    pub(crate) write: Option<PathBuf>,
    /// Stop after so many packets
    #[arg(short, long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Print the numbers of the packets that match
    #[arg(short, long)]
    pub(crate) list: bool,
    /// Exit with 1 if nothing matches, as grep does
    #[arg(long)]
    pub(crate) exit_match: bool,
    /// Whose rules a classic filter follows; libpcap for packets, seccomp for system calls
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<Dialect>,
    /// What runs the program
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) engine: Engine,
    /// How many instructions a run may execute
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<u64>,
    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Print what runs the program, and how long it took
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, ArgsGroup)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Whose rules a classic filter must follow
    #[arg(long, value_enum, default_value = "linux")]
    pub(crate) dialect: Dialect,
    /// How the verdict is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, ArgsGroup)]
pub(crate) struct Disasm {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The form to show a classic filter in
    #[arg(long, value_enum, default_value = "tcpdump-d")]
    pub(crate) to: Shown,
    /// Show the extended program that a classic filter becomes
    #[arg(long)]
    pub(crate) lowered: bool,
    /// Whose rules it is lowered by
    #[arg(long, value_enum, default_value = "libpcap")]
    pub(crate) dialect: Dialect,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// A form to show a classic filter in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    TcpdumpD,
    TcpdumpDd,
    TcpdumpDdd,
    Bytecode,
    BpfAsm,
    SeccompTools,
}

impl From<Shown> for sandbpf::classic::Form {
    fn from(shown: Shown) -> Self {
        use sandbpf::classic::Form;
        match shown {
            Shown::TcpdumpD => Form::TcpdumpD,
            Shown::TcpdumpDd => Form::TcpdumpDd,
            Shown::TcpdumpDdd => Form::TcpdumpDdd,
            Shown::Bytecode => Form::Bytecode,
            Shown::BpfAsm => Form::BpfAsm,
            Shown::SeccompTools => Form::SeccompTools,
        }
    }
}

#[derive(Debug, ArgsGroup)]
pub(crate) struct Asm {
    #[command(flatten)]
    pub(crate) source: Source,
    /// What to make
    #[arg(long, value_enum, default_value = "hex")]
    pub(crate) to: Made,
    /// Where to write it; the standard output if not given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What assembling makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Made {
    /// Bytes
    Raw,
    /// Bytes in hexadecimal
    Hex,
    /// An array in C
    C,
    /// Classic: what `tcpdump -ddd` prints
    TcpdumpDdd,
    /// Classic: one line of numbers
    Bytecode,
}

#[derive(Debug, ArgsGroup)]
pub(crate) struct Vectors {
    /// Files of records, one JSON object a line
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The engines
    #[arg(long, default_value = "all", value_name = "interpreter|step|jit|all")]
    pub(crate) engine: sandbpf_testkit::vectors::EngineChoice,
    /// Only records whose name contains this
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,
    /// How many threads
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}
