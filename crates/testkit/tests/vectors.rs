//! Judges can tell right from wrong; and the recorded corpora pass where they are there.

use std::fs;
use std::path::{Path, PathBuf};

use sandbpf_testkit::vectors::{self, EngineChoice, Lines, Options, Summary};

/// Runs records from a file of their own.
fn run(name: &str, records: &[&str]) -> (Summary, Vec<String>) {
    let folder = std::env::temp_dir().join(format!("sandbpf-vectors-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("records.ndjson");
    fs::write(&file, records.join("\n")).expect("a file");
    let mut lines = Lines::default();
    let summary = vectors::run(&[file], &Options::default(), &mut lines).expect("it runs");
    fs::remove_dir_all(folder).expect("the folder goes");
    (summary, lines.0)
}

/// Records that hold, and beside each what makes it wrong: `(name, record, text, what to put there)`.
const RECORDS: &[(&str, &str, &str, &str)] = &[
    (
        "conformance",
        r#"{"name":"add","group":"positive","cpu_feature":[],"insns":"b7000000050000009500000000000000","expected_r0":"0x5","kernel":{"wrapped":{}}}"#,
        "0x5",
        "0x100000005",
    ),
    (
        "conformance-memory",
        r#"{"name":"st","group":"positive","cpu_feature":[],"insns":"b70000000000000072010100070000009500000000000000","mem":"112233","expected_r0":"0x0","kernel":{"wrapped":{"mem_after":"110733"}}}"#,
        "110733",
        "112233",
    ),
    (
        "conformance-negative",
        r#"{"name":"field","group":"negative","form":"raw","cpu_feature":[],"expected_error":"","insns":"95000000010000009500000000000000"}"#,
        "9500000001",
        "9500000000",
    ),
    (
        "semantics",
        r#"{"name":"sub","body":"1f32000000000000","operands":2,"verdict":"accept","rows":[["0","1","ffffffffffffffff"]]}"#,
        "\"0\",\"1\"",
        "\"1\",\"1\"",
    ),
    (
        "test_bpf-internal",
        r#"{"name":"mov","kind":"internal","flags":[],"data":"","insns":"b7000000050000009500000000000000","tests":[{"data_size":0,"result":5}],"kernel":{}}"#,
        "\"result\":5",
        "\"result\":6",
    ),
    (
        "test_bpf-classic",
        r#"{"name":"hatype","kind":"classic","flags":[],"data":"","insns":"200000001cf0ffff1600000000000000","tests":[{"data_size":1,"result":588}],"kernel":{"attach":"accept","comparable":false}}"#,
        "588",
        "589",
    ),
    (
        "filter-run",
        r#"{"name":"ldb","insn_cnt":2,"insns":"30000000010000001600000000000000","data":"0102","retval":2}"#,
        "\"retval\":2",
        "\"retval\":1",
    ),
    (
        "filter-run-udp",
        r#"{"name":"net","insn_cnt":2,"insns":"300000000000f0ff1600000000000000","data":"0102","retval":1,"retval_udp_loopback":69}"#,
        "69",
        "70",
    ),
    (
        "filter-attach",
        r#"{"name":"div","insn_cnt":2,"insns":"34000000000000000600000000000000","verdict":"reject","errno":"EINVAL"}"#,
        "reject",
        "accept",
    ),
    (
        "encoding",
        r#"{"name":"mov","frame":"","insn":"","prog_type":"socket_filter","insn_cnt":2,"insns":"b7000000000000009500000000000000","verdict":"accept"}"#,
        "b700",
        "b70f",
    ),
    (
        "map-create",
        r#"{"name":"m","type":"lru_hash","key_size":4,"value_size":4,"max_entries":4,"map_flags":1,"verdict":"reject","errno":"ENOTSUPP"}"#,
        "ENOTSUPP",
        "EINVAL",
    ),
    (
        "map-helper",
        r#"{"name":"m","prog_type":"socket_filter","map_type":"queue","helper":"map_push_elem","verdict":"accept"}"#,
        "queue",
        "hash",
    ),
    (
        "helpers",
        r#"{"name":"x","prog_type":"xdp","attach_type":0,"gpl":false,"available":[44],"not_for_this_type":[0,9],"gpl_only":[69],"unknown":[212]}"#,
        "[44]",
        "[44,38]",
    ),
    (
        "context-read",
        r#"{"name":"x","prog_type":"xdp","attach_type":0,"access":"read","size":4,"range":[-8,30],"accepted_offsets":[0,4,8,12,16],"errors":{"invalid bpf_context access":34}}"#,
        "12,16]",
        "12,16,20]",
    ),
    (
        "context-write",
        r#"{"name":"x","prog_type":"cgroup_sysctl","attach_type":18,"access":"write","size":4,"range":[0,8],"accepted_offsets":[4],"errors":{"invalid bpf_context access":8}}"#,
        "[4]",
        "[]",
    ),
    (
        "return-values",
        r#"{"name":"x","prog_type":"cgroup_skb","attach_type":1,"tried":[-1,0,3,4],"accepted":[0,3],"return_ctx_pointer":"At program exit the register R0 is not a known value (ctx)"}"#,
        "[0,3]",
        "[0,3,4]",
    ),
    (
        "return-pointer",
        r#"{"name":"x","prog_type":"xdp","attach_type":0,"tried":[-1],"accepted":[-1],"return_ctx_pointer":null}"#,
        "null",
        "\"no\"",
    ),
    (
        "edge-libpcap",
        r#"{"name":"lsh","prog":[[0,0,0,1],[1,0,0,32],[108,0,0,0],[22,0,0,0]],"libpcap_validate":{"1.10.3":1},"kernel_attach":0,"runs":[{"pkt":"00","pcap":0,"klen":1,"kret":1}]}"#,
        "\"pcap\":0",
        "\"pcap\":1",
    ),
    (
        "edge-linux",
        r#"{"name":"lsh","prog":[[0,0,0,1],[1,0,0,32],[108,0,0,0],[22,0,0,0]],"libpcap_validate":{"1.10.3":1},"kernel_attach":0,"runs":[{"pkt":"00","pcap":0,"klen":1,"kret":1}]}"#,
        "\"kret\":1",
        "\"kret\":0",
    ),
    (
        "edge-abort",
        r#"{"name":"ret x","prog":[[14,0,0,0]],"libpcap_validate":{"1.10.3":1},"kernel_attach":"EINVAL","runs":[{"pkt":"00","pcap":"sig6"}]}"#,
        "sig6",
        "sig14",
    ),
    (
        "edge-loop",
        r#"{"name":"ja -1","prog":[[5,0,0,4294967295],[6,0,0,0]],"libpcap_validate":{"1.10.3":1},"kernel_attach":"EINVAL","runs":[{"pkt":"00","pcap":"sig14"}]}"#,
        "\"sig14\"",
        "0",
    ),
    (
        "seccomp",
        r#"{"name":"nr","prog":[[32,0,0,0],[22,0,0,0]],"seccomp_install":0,"socket_attach":0,"inputs":[{"nr":59,"arch":1,"ip":2,"args":[1,2,3,4,5,6],"ret":59}]}"#,
        "\"ret\":59",
        "\"ret\":1",
    ),
    (
        "seccomp-check",
        r#"{"name":"ldb","prog":[[48,0,0,0],[6,0,0,0]],"seccomp_install":"EINVAL"}"#,
        "\"EINVAL\"",
        "0",
    ),
    ("text", r#"{"name":"ret","prog":[[6,0,0,7]],"tcpdump_d":"(000) ret      #7"}"#, "#7", "#8"),
    ("assembler", r#"{"src":"ret #7","rc":0,"prog":[[6,0,0,7]]}"#, "[[6,0,0,7]]", "[[6,0,0,8]]"),
    ("assembler-error", r#"{"src":"ret #08","rc":1,"stderr":"error"}"#, "#08", "#8"),
    (
        "attached",
        r#"{"id":"x1","expr":"","dlt_name":"EN10MB","lib":"1.11-git","opt":[[6,0,0,7]],"opt_d":"(000) ret      #7","opt_kernel_attach":0}"#,
        "#7",
        "#70",
    ),
    (
        "filter",
        r#"{"id":"f1","expr":"","v1.10.3":{"opt":[[6,0,0,7]],"opt_d":"(000) ret      #7","noopt_same":true}}"#,
        "#7",
        "#70",
    ),
    (
        "verdict",
        r#"{"name":"reads r2","prog_type":"xdp","maps":[],"fixups":[],"insns":"bf200000000000009500000000000000","kernel":{"verdict":"reject","errno":"EACCES","error_line":"R2 !read_ok","last_insn":0}}"#,
        "bf20000000000000",
        "b700000000000000",
    ),
    (
        "encoding-rejected",
        r#"{"name":"to r10","prog_type":"socket_filter","frame":"none","insn":"b70a000000000000","insns":"b70a0000000000009500000000000000","verdict":"reject","errno":"EACCES"}"#,
        "\"insns\":\"b70a",
        "\"insns\":\"b700",
    ),
    (
        "tail call",
        r#"{"name":"own","kind":"tail_call","index":0,"insns":"6112000000000000070200000100000063210000000000001802000011ca117a0000000000000000b403000011ca117af5000000000000009500000000000000","flags":["need_state","result_in_state"],"expected_result":34000}"#,
        "34000",
        "33000",
    ),
];

#[test]
fn judges_can_tell() {
    for &(name, record, right, wrong) in RECORDS {
        let (summary, lines) = run(name, &[record]);
        assert_eq!((summary.passed, summary.failed, summary.skipped), (1, 0, 0), "{name}: {lines:#?}");
        let broken = record.replacen(right, wrong, 1);
        assert_ne!(record, broken, "{name}");
        let (summary, lines) = run(name, &[&broken]);
        assert_eq!((summary.passed, summary.failed, summary.skipped), (0, 1, 0), "{name}: {lines:#?}");
        assert!(lines[0].starts_with("FAILED "), "{name}: {lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("0 passed, 1 failed, 0 skipped"));
    }
}

#[test]
fn skips_say_why() {
    let records = [
        r#"{"name":"tail","kind":"tail_call","index":4000000000,"insns":"07010000020000001802000011ca117a0000000000000000b403ffff11ca117af500000000000000b7000000ffffffff9500000000000000","flags":[],"expected_result":3}"#,
        r#"{"name":"x","maps":[],"fixups":[],"insns":"9500000000000000","kernel":{"verdict":"accept"}}"#,
        r#"{"colour":"green"}"#,
        r#"{"id":"nobody's","pcap":"none.pcap","progs":["1.10.3:opt"],"n":1,"match":0,"sha256":""}"#,
        r#"{"name":"no program","insn_cnt":2,"verdict":"accept"}"#,
    ];
    let (summary, lines) = run("skips", &records);
    assert_eq!(summary.skipped, 5);
    for reason in [
        "skipped 1: calls a program that is not among the records",
        "skipped 1: the record has no usable `prog_type`",
        "skipped 1: a kind of record that nobody knows",
        "skipped 1: the filter that the record names is not there",
        "skipped 1: the record has no usable `insns`",
    ] {
        assert!(lines.iter().any(|line| line == reason), "{reason}\n{lines:#?}");
    }
}

#[test]
fn broken_files_are_errors() {
    let missing = vectors::run(&["/no/such/file".into()], &Options::default(), &mut Lines::default());
    assert!(missing.unwrap_err().to_string().starts_with("/no/such/file: "));
    let file = std::env::temp_dir().join(format!("sandbpf-broken-{}.ndjson", std::process::id()));
    fs::write(&file, "{}\n{").expect("a file");
    let broken = vectors::run(std::slice::from_ref(&file), &Options::default(), &mut Lines::default());
    assert!(broken.unwrap_err().to_string().contains(", line 2: "));
    fs::remove_file(file).expect("it goes");
}

#[test]
fn the_filter_chooses_by_name() {
    let file = std::env::temp_dir().join(format!("sandbpf-chosen-{}.ndjson", std::process::id()));
    let records = r#"{"name":"one","kind":"tail_call"}
{"name":"two","kind":"tail_call"}"#;
    fs::write(&file, records).expect("a file");
    let options = Options { filter: Some("tw".into()), engine: EngineChoice::Step, jobs: 1, detail: false };
    let summary =
        vectors::run(std::slice::from_ref(&file), &options, &mut Lines::default()).expect("it runs");
    assert_eq!(summary.to_string(), "0 passed, 0 failed, 1 skipped");
    fs::remove_file(file).expect("it goes");
}

#[test]
fn recorded_corpora() {
    let root = match std::env::var_os("SANDBPF_CORPUS") {
        Some(corpus) => PathBuf::from(corpus),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
    };
    let mut files = Vec::new();
    for folder in ["kernel", "cbpf", "cbpf/pcaps"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            println!("skipped: {} is not there", root.join(folder).display());
            return;
        };
        let paths = entries.flatten().map(|entry| entry.path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")));
    }
    let mut lines = Lines::default();
    let summary = vectors::run(&files, &Options::default(), &mut lines).expect("it runs");
    // The verifier's disagreements are known and few; nobody else has any.
    let verdicts = ["(program verified and run once)", "(encoding)", "(work of the verifier)"];
    let failed = lines.0.iter().filter(|line| line.starts_with("FAILED "));
    let others = failed.filter(|line| !verdicts.iter().any(|kind| line.ends_with(kind)));
    assert_eq!(others.count(), 0, "{}", lines.0.join("\n"));
    assert!(summary.failed * 1000 <= summary.passed, "{summary}\n{}", lines.0.join("\n"));
    assert!(summary.passed > 40_000, "{summary}");
}
