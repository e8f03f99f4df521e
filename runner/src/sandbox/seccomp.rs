//! Docker's default system call filter (seccomp(2)).

mod profile;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use syscalls::Sysno;

use super::Capability;

/// Why a filter cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("the system call filter does not compile")]
pub struct FilterError(#[from] seccompiler::BackendError);

/// With the kernel's number for it, `AUDIT_ARCH_…` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: (TargetArch, u32) = (TargetArch::x86_64, 0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: (TargetArch, u32) = (TargetArch::aarch64, 0xc000_00b7);

/// The filter for these capabilities, as bytes that init hands to the kernel.
pub(super) fn docker_default(capabilities: &[Capability]) -> Result<Vec<u8>, FilterError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for number in numbers(profile::ALLOWED).chain(numbers(profile::OF_ARCHITECTURE)) {
        rules.insert(number, Vec::new());
    }
    with_arguments(&mut rules)?;
    for (capability, names) in profile::WITH_CAPABILITY {
        if capabilities.contains(capability) {
            // No rule any more, so whatever its arguments are.
            rules.extend(numbers(names).map(|number| (number, Vec::new())));
        }
    }
    let clone3_allowed = capabilities.contains(&Capability::SysAdmin);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        ARCHITECTURE.0,
    )?;
    let program = prologue(clone3_allowed)
        .into_iter()
        .chain(BpfProgram::try_from(filter)?);
    Ok(program.flat_map(bytes).collect())
}

/// The calls that are allowed with some arguments only.
fn with_arguments(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) -> Result<(), FilterError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let rule = |length, operator, value| {
        SeccompRule::new(vec![SeccompCondition::new(0, length, operator, value)?])
    };
    let [below, above] = profile::FORBIDDEN_FAMILIES;
    rules.insert(
        Sysno::socket as i64,
        vec![
            // The kernel too looks at 32 bits of it only.
            rule(Dword, SeccompCmpOp::Lt, below)?,
            rule(Dword, SeccompCmpOp::Eq, below + 1)?,
            rule(Dword, SeccompCmpOp::Gt, above)?,
        ],
    );
    let personalities = profile::PERSONALITIES.iter();
    rules.insert(
        Sysno::personality as i64,
        personalities
            .map(|value| rule(Dword, SeccompCmpOp::Eq, *value))
            .collect::<Result<_, _>>()?,
    );
    let no_namespace = SeccompCmpOp::MaskedEq(profile::CLONE_NAMESPACES);
    rules.insert(Sysno::clone as i64, vec![rule(Qword, no_namespace, 0)?]);
    Ok(())
}

fn numbers(names: &str) -> impl Iterator<Item = i64> {
    names
        .split_whitespace()
        .filter_map(|name| name.parse::<Sysno>().ok())
        .map(|number| number as i64)
}

/// What is asked before the profile, and answered with ENOSYS, on which programs fall back to
/// something else: calls of another architecture (32-bit programs, where seccompiler would kill),
/// calls younger than the profile (x32 among them, by their large numbers), and clone3(2), whose
/// flags a filter cannot see.
fn prologue(clone3_allowed: bool) -> Vec<sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Offsets in struct seccomp_data.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let youngest = Sysno::iter().map(|number| number as u32).max().unwrap_or(0);

    let mut program = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(EQUAL, 1, 0, ARCHITECTURE.1),
        instruction(RETURN, 0, 0, no_such_call),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(GREATER, 0, 1, youngest),
        instruction(RETURN, 0, 0, no_such_call),
    ];
    if !clone3_allowed {
        program.push(instruction(EQUAL, 0, 1, Sysno::clone3 as u32));
        program.push(instruction(RETURN, 0, 0, no_such_call));
    }
    program
}

/// As the kernel has it in memory (struct sock_filter).
fn bytes(instruction: sock_filter) -> [u8; 8] {
    let [a, b] = instruction.code.to_ne_bytes();
    let [e, f, g, h] = instruction.k.to_ne_bytes();
    [a, b, instruction.jt, instruction.jf, e, f, g, h]
}
