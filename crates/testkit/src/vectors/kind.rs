//! What kind of record an object is: its fields say.

use std::fmt;

use serde_json::Value;

/// A kind of record; each has one judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A program of bpf_conformance.
    Conformance,
    /// One operation on many operands, as the kernel computes it.
    Semantics,
    /// An extended program of the kernel's `test_bpf` module.
    TestBpfInternal,
    /// One of the programs of the kernel's `test_bpf` module that call each other.
    TestBpfTailCall,
    /// A classic program of the kernel's `test_bpf` module.
    TestBpfClassic,
    /// A classic program run by a socket, with its exact result.
    FilterRun,
    /// A compiled expression and the packets that a socket lets through.
    FilterPasses,
    /// A classic program that a socket accepts or refuses.
    FilterAttach,
    /// One encoding that the kernel accepts or refuses.
    Encoding,
    /// A map that the kernel makes or refuses.
    MapCreate,
    /// A helper called with one type of map.
    MapHelper,
    /// The helpers that a type of program has.
    HelperMatrix,
    /// The offsets of a context that accesses of one size may have.
    ContextAccess,
    /// The values that a type of program may return.
    ReturnValues,
    /// What libpcap makes of a capture with a filter.
    Verdict,
    /// The same for `DLT_NULL`, with the program in the record.
    OfflineNull,
    /// An expression, its programs and their listings.
    Filter,
    /// What `tcpdump -i` attaches, and whether the kernel takes it.
    AttachedFilter,
    /// A program on which libpcap and the kernel disagree.
    KernelDisagreement,
    /// A classic program at an edge, with libpcap's and the kernel's answers.
    Edge,
    /// What sockets know of a packet besides its bytes.
    Ancillary,
    /// A seccomp filter.
    Seccomp,
    /// A classic program in many text forms.
    TextForms,
    /// A source text of `bpf_asm`.
    Assembler,
    /// A capture file and a digest of its packets.
    Capture,
    /// A program and what it makes of many packets.
    PacketRuns,
    /// A program that the kernel verified and perhaps ran.
    ProgramRuns,
    /// How much work a large program is for the verifier.
    VerifySpeed,
    /// One that asks for what does not exist here.
    Skipped(&'static str),
}

/// Rows of `(the fields that only this kind has, the kind)`; the first that fits counts.
const ROWS: &[(&[&str], Kind)] = &[
    (&["maps", "results"], Kind::PacketRuns),
    (&["maps", "kernel"], Kind::ProgramRuns),
    (&["range", "accepted_offsets"], Kind::ContextAccess),
    (&["available", "unknown"], Kind::HelperMatrix),
    (&["map_type", "helper"], Kind::MapHelper),
    (&["tried", "accepted"], Kind::ReturnValues),
    (&["processed", "verification_usec_median"], Kind::VerifySpeed),
    (&["key_size", "value_size"], Kind::MapCreate),
    (&["object", "loader"], Kind::Skipped("needs object files")),
    (&["group", "cpu_feature"], Kind::Conformance),
    (&["body", "rows"], Kind::Semantics),
    (&["frame", "insn"], Kind::Encoding),
    (&["progs", "pcap", "id"], Kind::Verdict),
    (&["pcap", "expr", "sha256"], Kind::OfflineNull),
    (&["id", "expr", "lib"], Kind::AttachedFilter),
    (&["id", "expr", "v1.10.3"], Kind::Filter),
    (&["id", "expr", "v1.11-git"], Kind::Filter),
    (&["id", "expr", "prog"], Kind::KernelDisagreement),
    (&["expr", "err_1.10.3"], Kind::Skipped("needs a compiler of filter expressions")),
    (&["expression", "optimised"], Kind::FilterPasses),
    (&["prog", "libpcap_validate"], Kind::Edge),
    (&["ctx", "results"], Kind::Ancillary),
    (&["prog", "seccomp_install"], Kind::Seccomp),
    (&["prog", "tcpdump_d"], Kind::TextForms),
    (&["src", "rc"], Kind::Assembler),
    (&["pcap", "magic"], Kind::Capture),
    (&["insn_cnt", "data", "retval"], Kind::FilterRun),
    (&["insn_cnt", "verdict"], Kind::FilterAttach),
];

impl Kind {
    /// The kind of this object.
    pub(crate) fn of(value: &Value) -> Kind {
        match value["kind"].as_str() {
            Some("internal") => return Kind::TestBpfInternal,
            Some("classic") => return Kind::TestBpfClassic,
            Some("tail_call") => return Kind::TestBpfTailCall,
            _ => {}
        }
        let has = |fields: &[&str]| fields.iter().all(|field| value.get(field).is_some());
        let row = ROWS.iter().find(|(fields, _)| has(fields));
        row.map_or(Kind::Skipped("a kind of record that nobody knows"), |&(_, kind)| kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Conformance => "bpf_conformance",
            Kind::Semantics => "instruction semantics",
            Kind::TestBpfInternal => "test_bpf, extended",
            Kind::TestBpfClassic => "test_bpf, classic",
            Kind::TestBpfTailCall => "test_bpf, tail calls",
            Kind::FilterRun => "socket filter run",
            Kind::FilterPasses => "socket filter and packets",
            Kind::FilterAttach => "socket filter attached",
            Kind::Encoding => "encoding",
            Kind::MapCreate => "map created",
            Kind::MapHelper => "maps of a helper",
            Kind::HelperMatrix => "helpers of a program type",
            Kind::ContextAccess => "context accesses",
            Kind::ReturnValues => "return values",
            Kind::Verdict => "libpcap verdicts",
            Kind::OfflineNull => "libpcap verdicts, DLT_NULL",
            Kind::Filter => "filter listings",
            Kind::AttachedFilter => "filter of tcpdump -i",
            Kind::KernelDisagreement => "kernel and libpcap disagree",
            Kind::Edge => "classic edge",
            Kind::Ancillary => "ancillary loads",
            Kind::Seccomp => "seccomp",
            Kind::TextForms => "text forms",
            Kind::Assembler => "bpf_asm",
            Kind::Capture => "capture file",
            Kind::PacketRuns => "runs on packets",
            Kind::ProgramRuns => "program verified and run once",
            Kind::VerifySpeed => "work of the verifier",
            Kind::Skipped(_) => "skipped",
        })
    }
}
