//! Profiles of container runtimes, judged by the command.

mod common;

use common::*;

/// What a profile answers to calls.
fn judge(profile: &str, calls: &[&str]) -> Vec<String> {
    let mut args = vec!["run", "-"];
    calls.iter().for_each(|call| args.extend(["--syscall", call]));
    let done = sandbpf_reading(&args, profile.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
    done.out.lines().map(|line| line.rsplit_once(": ").unwrap().1.to_string()).collect()
}

#[test]
fn every_comparison_has_64_bits() {
    // Each with values that it holds for, and values that it does not.
    let rows = [
        ("EQ", 0x1_0000_0008u64, vec!["0x100000008"], vec!["8", "0x100000000", "0x200000008"]),
        ("NE", 0x1_0000_0008, vec!["8", "0x100000000", "0x200000008"], vec!["0x100000008"]),
        ("LT", 0x1_0000_0008, vec!["0x100000007", "0xffffffff"], vec!["0x100000008", "0x200000000"]),
        ("LE", 0x1_0000_0008, vec!["0x100000008", "0xffffffff"], vec!["0x100000009", "0x200000000"]),
        ("GT", 0x1_0000_0008, vec!["0x100000009", "0x200000000"], vec!["0x100000008", "0xffffffff"]),
        ("GE", 0x1_0000_0008, vec!["0x100000008", "0x200000000"], vec!["0x100000007", "0xffffffff"]),
        (
            "MASKED_EQ",
            0x1_0000_0008,
            vec!["8", "0xfffffffe0000000c", "0x40000000a"],
            vec!["0", "0x100000008"],
        ),
    ];
    for (op, value, holds, fails) in rows {
        let profile = format!(
            r#"{{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{{"names": ["ioctl"], "action": "SCMP_ACT_LOG",
                "args": [{{"index": 5, "op": "SCMP_CMP_{op}", "value": {value}, "valueTwo": 8}}]}}]}}"#
        );
        for (values, answer) in [(holds, "LOG"), (fails, "KILL_PROCESS")] {
            for value in values {
                let call = format!("ioctl,x86_64,0,0,0,0,0,0,{value}");
                assert_eq!(judge(&profile, &[&call]), [answer], "{op} {value}");
            }
        }
    }
}

#[test]
fn rules_are_alternatives_and_conditions_are_not() {
    let rule = |args: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {{"name": "socket", "action": "SCMP_ACT_ALLOW", "args": [{args}]}},
                {{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}}]}}"#
        )
    };
    let one =
        |index: u32, value: u32| format!(r#"{{"index": {index}, "op": "SCMP_CMP_EQ", "value": {value}}}"#);
    let calls = ["socket,x86_64,0,1,1", "socket,x86_64,0,1,2", "socket,x86_64,0,2,9", "read", "write"];
    let both = rule(&[one(0, 1), one(1, 2)].join(","));
    assert_eq!(judge(&both, &calls), ["ERRNO(1)", "ALLOW", "ERRNO(1)", "TRACE(7)", "ERRNO(1)"]);
    let either = rule(&[one(0, 1), one(0, 2)].join(","));
    assert_eq!(judge(&either, &calls), ["ALLOW", "ALLOW", "ALLOW", "TRACE(7)", "ERRNO(1)"]);
}

#[test]
fn architectures_are_those_asked_for() {
    let profile = |archs: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": [{archs}],
                "syscalls": [{{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    let calls = ["execve", "0x40000208", "0x4000003b", "execve,i386", "execve,aarch64"];
    let answers = |archs: &str| judge(&profile(archs), &calls).join(" ");
    let (killed, no) = ("KILL_THREAD", "ERRNO(1)");
    assert_eq!(answers(""), format!("ALLOW {killed} {killed} {killed} {killed}"));
    let x32 = r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_PPC""#;
    assert_eq!(answers(x32), format!("ALLOW ALLOW {no} {killed} {killed}"));
    assert_eq!(answers(r#""SCMP_ARCH_X32""#), format!("{killed} ALLOW {no} {killed} {killed}"));
    assert_eq!(
        answers(r#""SCMP_ARCH_AARCH64", "SCMP_ARCH_X86""#),
        format!("{killed} {killed} {killed} ALLOW ALLOW")
    );
}

#[test]
fn mistakes_are_named() {
    let refused = |profile: &str, what: &str| {
        let done = sandbpf_reading(&["run", "-", "--syscall", "1"], profile.as_bytes());
        assert_eq!(done.code, Some(2));
        assert!(done.err.contains(what), "{}", done.err);
    };
    refused(r#"{"defaultAction": "SCMP_ACT_NO"}"#, "defaultAction: expected SCMP_ACT_KILL, KILL_THREAD,");
    refused("{\"defaultAction\": 1,\n}", "<stdin>:2:1: trailing comma");
    let rule = |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{{{rule}}}]}}"#);
    refused(&rule(r#""nmes": []"#), "syscalls, rule 0: `nmes` is no field; there are action, args,");
    let arg = |arg: &str| rule(&format!(r#""action": "SCMP_ACT_ALLOW", "args": [{{{arg}}}]"#));
    refused(&arg(r#""index": 6"#), "args, 0: index: a system call has arguments 0 to 5, found 6");
    refused(&arg(r#""op": "EQ""#), "args, 0: op: expected SCMP_CMP_EQ, NE, LT, LE, GT, GE or MASKED_EQ");
    let error = refuse(&["run", FILTER, "--syscall", "opnat"]);
    assert!(error.contains("`opnat` is no system call of x86_64"), "{error}");
}
