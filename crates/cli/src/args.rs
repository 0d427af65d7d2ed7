//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sandbpf::KindName;
use sandbpf::abi::AttachType;
use sandbpf_capture::LinkType;
use sandbpf_testkit::vectors::EngineChoice;

use crate::map_size::MapSizes;
use crate::syscall::Call;

const EXIT_CODES: &str = "Exit codes:\n  \
    0  it ran\n  \
    1  the answer is no: refused, trapped, a vector failed or none was compared, nothing matched with --exit-match\n  \
    2  bad usage or bad input; one line says where and what";

/// Runs, checks, disassembles and assembles BPF programs, without root and without a kernel.
#[derive(Debug, Parser)]
#[command(name = "sandbpf", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program over captures, packets, system calls or memory
    #[command(after_help = EXIT_CODES)]
    Run(Box<Run>),
    /// Would it be accepted? The rule and the instruction if not
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Show a program in any text form, or the programs of an object file
    #[command(after_help = EXIT_CODES)]
    Disasm(Disasm),
    /// Assemble text to bytes or numbers
    #[command(after_help = EXIT_CODES)]
    Asm(Asm),
    /// Show what an object file holds: programs, maps, helpers
    #[command(after_help = EXIT_CODES)]
    Object(ObjectFile),
    /// Would Linux load it? The verifier's verdict on each program, and how a rejected one gets there
    #[command(after_help = EXIT_CODES)]
    Verify(Verify),
    /// Run recorded answers of real kernels and of libpcap
    #[command(after_help = EXIT_CODES)]
    Vectors(Vectors),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A program on the command line, and how to read one.
#[derive(Debug, Group)]
pub(crate) struct Code {
    /// The program's text itself, instead of a file
    #[arg(short = 'e', long, visible_alias = "expr-code", value_name = "TEXT")]
    pub(crate) code: Option<String>,
    /// The form of the program; found out if not given
    #[arg(long, value_enum, default_value = "auto", hide_default_value = true)]
    pub(crate) form: Form,
}

/// A program to look at: a file, or its text.
#[derive(Debug, Group)]
pub(crate) struct Given {
    /// The program: a file in any text or binary form, or `-` for the standard input
    #[arg(required_unless_present = "code", conflicts_with = "code")]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) code: Code,
}

/// A form of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Find out. Raw bytes are of the language in which they are a sound program
    Auto,
    /// Classic: what `tcpdump -d` prints
    #[value(alias = "d")]
    TcpdumpD,
    /// Classic: what `tcpdump -dd` prints
    #[value(alias = "dd")]
    TcpdumpDd,
    /// Classic: what `tcpdump -ddd` prints
    #[value(alias = "ddd")]
    TcpdumpDdd,
    /// Classic: one line of numbers, as for iptables and tc
    Bytecode,
    /// Classic: source for the kernel's bpf_asm
    BpfAsm,
    /// Classic: what seccomp-tools or scmp_bpf_disasm prints
    SeccompTools,
    /// Classic: struct sock_filter, little-endian
    RawClassic,
    /// Classic: a seccomp profile of Docker, Podman or the OCI runtime specification, in JSON
    #[value(alias = "oci")]
    Profile,
    /// Extended: text as the kernel and llvm-objdump print it
    Asm,
    /// Extended: 8-byte instructions, little-endian
    Raw,
    /// Either, as raw bytes in hexadecimal
    Hex,
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
    /// libpcap in user space
    Libpcap,
    /// Linux sockets
    Linux,
    /// Linux system call policies
    Seccomp,
}

impl Dialect {
    /// Its name in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Libpcap => "libpcap",
            Dialect::Linux => "linux",
            Dialect::Seccomp => "seccomp",
        }
    }
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
    /// Machine code where there is some, the interpreter elsewhere
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

#[derive(Debug, Group)]
pub(crate) struct Run {
    /// The program: a file in any text or binary form, or `-` for the standard input
    #[arg(required_unless_present = "code")]
    pub(crate) program: Option<PathBuf>,
    /// Captures to run over, pcap or pcapng; `-` is the standard input
    pub(crate) captures: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) code: Code,
    /// A capture to run over, as well; may be given often
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Vec<PathBuf>,
    /// A packet in hexadecimal; may be given often
    #[arg(long, value_name = "HEX")]
    pub(crate) hex: Vec<String>,
    /// Packets in hexadecimal, one a line; `#` begins a comment
    #[arg(long, value_name = "FILE")]
    pub(crate) hex_file: Vec<PathBuf>,
    /// The length on the wire of packets in hexadecimal; without it they are whole
    #[arg(long, value_name = "BYTES", value_parser = number::<u32>)]
    pub(crate) wire_len: Option<u32>,
    /// What packets in hexadecimal begin with: a name such as EN10MB or RAW, or a LINKTYPE number
    #[arg(long, value_name = "TYPE", default_value = "EN10MB", value_parser = link_type)]
    pub(crate) link_type: LinkType,
    /// A system call to judge: name or number[,arch[,ip[,argument…]]]; may be given often
    #[arg(long, value_name = "CALL", value_parser = Call::parse, allow_hyphen_values = true)]
    pub(crate) syscall: Vec<Call>,
    /// Memory in hexadecimal: r1 is its address, r2 its length
    #[arg(long, value_name = "HEX")]
    pub(crate) mem: Option<String>,
    /// What the program is for: socket-filter, seccomp or buffer; by what it runs on if not given
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<KindName>,
    /// The bytes of a context in hexadecimal, for programs that are given one: tracing, sockets, control groups
    #[arg(long, value_name = "HEX")]
    pub(crate) context: Option<String>,
    /// Events for programs that trace, as JSON: context, task, memory, time; may be given often
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,
    /// Let time go by until then after the last event or packet, in nanoseconds, so that timers fire that are due
    #[arg(long, value_name = "NS")]
    pub(crate) until: Option<u64>,
    /// Which program of an object file; the only one, or the first that events name, if not given
    #[arg(long = "program", id = "program-name", value_name = "NAME")]
    pub(crate) program_name: Option<String>,
    /// Set a global variable of an object file before it is loaded: a number, text, the name of a value, JSON, or bytes
    /// as hex:…; may be given often
    #[arg(long, value_name = "NAME=VALUE", value_parser = global)]
    pub(crate) set_global: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) map_sizes: MapSizes,
    /// The types of the kernel that an object file is loaded for, as /sys/kernel/btf/vmlinux has them
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
    /// Make maps for code that names them by number, as bpftrace's does, or change the object's: JSON with number, type,
    /// max_entries, and what keys and values are
    #[arg(long, value_name = "FILE")]
    pub(crate) define_maps: Vec<PathBuf>,
    /// Put entries into maps before the program runs: JSON as --maps writes it, or with bytes in hexadecimal
    #[arg(long, value_name = "FILE")]
    pub(crate) set_map: Vec<PathBuf>,
    /// Write what the maps hold afterwards into a file, as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) maps: Option<PathBuf>,
    /// Write the records of ring buffers and perf event arrays into a file, a line of JSON each; `-` is the standard
    /// output
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// The type of the records of a map, or of all maps; found out from the object's types if not given; may be given
    /// often
    #[arg(long, value_name = "[MAP=]STRUCT", requires = "events")]
    pub(crate) event_type: Vec<String>,
    /// Write the packets that match into a capture, whole as they were. It appears when all went well; `-` is the
    /// standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Stop after so many packets that match
    #[arg(short, long, value_name = "N", value_parser = number::<u64>)]
    pub(crate) count: Option<u64>,
    /// Read each pcap file with so many threads, for programs that call nothing and so remember nothing, without --count. The
    /// result is the same
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Print the numbers of the packets that match, counted from 1 in each capture
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
    /// How many instructions a run may execute; a billion if not given
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    pub(crate) budget: Option<u64>,
    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Print what ran, what it returned, and how long it took
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) given: Given,
    /// Whose rules a classic filter must follow
    #[arg(long, value_enum, default_value = "linux")]
    pub(crate) dialect: Dialect,
    /// How the verdict is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// What the loader may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capabilities {
    /// Everything: root
    All,
    /// CAP_BPF and CAP_NET_ADMIN
    Bpf,
    /// Nothing
    None,
}

#[derive(Debug, Group)]
pub(crate) struct Verify {
    /// The program: an object file, a file in any text or binary form, or `-` for the standard input
    #[arg(required_unless_present = "code", conflicts_with = "code")]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) code: Code,
    /// Which program of an object file; all of them if not given
    #[arg(long = "program", id = "program-name", value_name = "NAME")]
    pub(crate) program_name: Option<String>,
    #[command(flatten)]
    pub(crate) map_sizes: MapSizes,
    /// What the program is for; by its section in an object file, a socket filter elsewhere, if not given
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<KindName>,
    /// Where it will be attached: a name such as cgroup_inet_egress, or a number
    #[arg(long, value_name = "TYPE", value_parser = attach_type)]
    pub(crate) attach_type: Option<AttachType>,
    /// The license; the object's own, or one compatible with the GPL, if not given
    #[arg(long, value_name = "TEXT")]
    pub(crate) license: Option<String>,
    /// What the loader may do
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) cap: Capabilities,
    /// The types of the kernel that it is verified for; those of the running kernel, where it shows them, if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
    /// Print the verifier's log as well: 1 the path that failed, 2 all paths, 4 figures, or their sum
    #[arg(long, value_name = "LEVEL", default_value_t = 0, hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(0..=7))]
    pub(crate) log_level: u32,
    /// How the verdicts are shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Group)]
pub(crate) struct Disasm {
    #[command(flatten)]
    pub(crate) given: Given,
    /// Which program of an object file; all of them if not given
    #[arg(long = "program", id = "program-name", value_name = "NAME")]
    pub(crate) program_name: Option<String>,
    /// The form to show a classic filter in; tcpdump-d if not given
    #[arg(long, value_enum, conflicts_with = "lowered")]
    pub(crate) to: Option<Shown>,
    /// Show the extended program that a classic filter becomes, with the filter beside it
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
    /// What `tcpdump -d` prints
    #[value(alias = "d")]
    TcpdumpD,
    /// What `tcpdump -dd` prints: an array in C
    #[value(alias = "dd")]
    TcpdumpDd,
    /// What `tcpdump -ddd` prints
    #[value(alias = "ddd")]
    TcpdumpDdd,
    /// One line of numbers, as for iptables and tc
    Bytecode,
    /// Source for the kernel's bpf_asm
    BpfAsm,
    /// What seccomp-tools prints
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

#[derive(Debug, Group)]
pub(crate) struct Asm {
    /// The source: assembly, classic or extended, in a file, or `-` for the standard input
    #[arg(value_name = "SOURCE", required_unless_present = "code", conflicts_with = "code")]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) code: Code,
    /// What to make; raw for a file, hex for the standard output if not given
    #[arg(long, value_enum)]
    pub(crate) to: Option<Made>,
    /// Where to write it; the standard output if not given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What assembling makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Made {
    /// Bytes
    Raw,
    /// Bytes in hexadecimal, an instruction a line
    Hex,
    /// An array in C: of struct sock_filter, or of bytes
    C,
    /// Classic: what `tcpdump -dd` prints
    #[value(alias = "dd")]
    TcpdumpDd,
    /// Classic: what `tcpdump -ddd` prints
    #[value(alias = "ddd")]
    TcpdumpDdd,
    /// Classic: one line of numbers, as for iptables and tc
    Bytecode,
}

#[derive(Debug, Group)]
pub(crate) struct ObjectFile {
    /// The object file, or `-` for the standard input
    pub(crate) object: PathBuf,
    /// The types of the kernel that it is loaded for, as /sys/kernel/btf/vmlinux has them
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Group)]
pub(crate) struct Vectors {
    /// Files of records, one JSON object a line
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The engines
    #[arg(long, default_value = "all", value_name = "interpreter|step|jit|all")]
    pub(crate) engine: EngineChoice,
    /// Only records whose name contains this
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,
    /// Succeed although so many records fail: disagreements that are known
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) known_failures: u64,
    /// Print both answers to each question about a verdict of the verifier, a line of JSON each
    #[arg(long)]
    pub(crate) detail: bool,
    /// How many threads; as many as there are processors if not given
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// How the result is shown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

fn global(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected a name, `=` and a value")?;
    Ok((name.into(), value.into()))
}

fn attach_type(text: &str) -> Result<AttachType, String> {
    let by_name = || AttachType::ALL.iter().copied().find(|known| known.name() == Some(text));
    let found = text.parse().ok().map(AttachType).or_else(by_name);
    found.ok_or_else(|| format!("`{text}` is no attach type"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected a number of {} bits", 8 * size_of::<T>()))
}

fn link_type(text: &str) -> Result<LinkType, String> {
    let by_number = || text.parse().ok().map(LinkType::new);
    LinkType::from_name(text).or_else(by_number).ok_or_else(|| format!("`{text}` is no link type"))
}
