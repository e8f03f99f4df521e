//! Docker's default system call filter (seccomp(2)).

mod profile;

use std::collections::{BTreeMap, BTreeSet};

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
///
/// Calls that are allowed whatever their arguments come first, as ranges of numbers: the kernel
/// runs the program once for every call that there is when it is loaded, and seccompiler's own
/// list of single numbers makes that half a millisecond.
pub(super) fn docker_default(capabilities: &[Capability]) -> Result<Vec<u8>, FilterError> {
    let with_capability = profile::WITH_CAPABILITY
        .iter()
        .filter(|(capability, _)| capabilities.contains(capability))
        .flat_map(|(_, names)| numbers(names));
    let allowed: BTreeSet<u32> = numbers(profile::ALLOWED)
        .chain(numbers(profile::OF_ARCHITECTURE))
        .chain(with_capability)
        .collect();
    let filter = SeccompFilter::new(
        with_arguments()?,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        ARCHITECTURE.0,
    )?;
    let program = no_such_calls(&allowed)
        .into_iter()
        .chain(allow_ranges(&allowed))
        .chain(BpfProgram::try_from(filter)?);
    Ok(program.flat_map(bytes).collect())
}

/// The calls that are allowed with some arguments only.
fn with_arguments() -> Result<BTreeMap<i64, Vec<SeccompRule>>, FilterError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let rule = |length, operator, value| {
        SeccompRule::new(vec![SeccompCondition::new(0, length, operator, value)?])
    };
    let [below, above] = profile::FORBIDDEN_FAMILIES;
    let socket = vec![
        // The kernel too looks at 32 bits of it only.
        rule(Dword, SeccompCmpOp::Lt, below)?,
        rule(Dword, SeccompCmpOp::Eq, below + 1)?,
        rule(Dword, SeccompCmpOp::Gt, above)?,
    ];
    let personality = profile::PERSONALITIES
        .iter()
        .map(|value| rule(Dword, SeccompCmpOp::Eq, *value))
        .collect::<Result<_, _>>()?;
    let no_namespace = SeccompCmpOp::MaskedEq(profile::CLONE_NAMESPACES);
    let clone = vec![rule(Qword, no_namespace, 0)?];
    Ok(BTreeMap::from([
        (Sysno::socket as i64, socket),
        (Sysno::personality as i64, personality),
        (Sysno::clone as i64, clone),
    ]))
}

fn numbers(names: &str) -> impl Iterator<Item = u32> {
    names
        .split_whitespace()
        .filter_map(|name| name.parse::<Sysno>().ok())
        .map(|number| number as u32)
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// One instruction; the jumps are how many to skip where the comparison holds, and where not.
fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Answers with ENOSYS, on which programs fall back to something else, what is a call of another
/// architecture (32-bit programs, where seccompiler would kill), a call younger than the profile
/// (x32 among them, by their large numbers), or clone3(2), whose flags no filter can see. Leaves
/// the call's number loaded.
fn no_such_calls(allowed: &BTreeSet<u32>) -> Vec<sock_filter> {
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let youngest = Sysno::iter().map(|number| number as u32).max().unwrap_or(0);
    let clone3 = Sysno::clone3 as u32;
    let mut program = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(EQUAL, 1, 0, ARCHITECTURE.1),
        instruction(RETURN, 0, 0, no_such_call),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(GREATER, 0, 1, youngest),
        instruction(RETURN, 0, 0, no_such_call),
    ];
    if !allowed.contains(&clone3) {
        program.push(instruction(EQUAL, 0, 1, clone3));
        program.push(instruction(RETURN, 0, 0, no_such_call));
    }
    program
}

/// Allows the loaded number where it is in one of the ranges, and goes on where it is not.
fn allow_ranges(allowed: &BTreeSet<u32>) -> Vec<sock_filter> {
    let numbers: Vec<u32> = allowed.iter().copied().collect();
    numbers
        .chunk_by(|one, next| one + 1 == *next)
        .filter_map(|range| Some((*range.first()?, *range.last()?)))
        .flat_map(|(first, last)| {
            [
                instruction(GREATER, 2, 0, last),
                instruction(AT_LEAST, 0, 1, first),
                instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            ]
        })
        .collect()
}

/// As the kernel has it in memory (struct sock_filter).
fn bytes(instruction: sock_filter) -> [u8; 8] {
    let [a, b] = instruction.code.to_ne_bytes();
    let [e, f, g, h] = instruction.k.to_ne_bytes();
    [a, b, instruction.jt, instruction.jf, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::super::privileges::DOCKER_CAPABILITIES;
    use super::*;

    /// What the program says to a call, as the kernel would run it.
    fn answer(program: &[u8], arch: u32, number: u32, argument: u64) -> u32 {
        let mut data = [0u8; 64];
        data[..4].copy_from_slice(&number.to_ne_bytes());
        data[4..8].copy_from_slice(&arch.to_ne_bytes());
        data[16..24].copy_from_slice(&argument.to_ne_bytes());
        let load =
            |at: u32| u32::from_ne_bytes(data[at as usize..at as usize + 4].try_into().unwrap());
        let (mut at, mut loaded) = (0, 0u32);
        loop {
            let bytes: [u8; 8] = program[at * 8..at * 8 + 8].try_into().unwrap();
            let code = u16::from_ne_bytes([bytes[0], bytes[1]]);
            let k = u32::from_ne_bytes(bytes[4..].try_into().unwrap());
            let jump = |holds| usize::from(if holds { bytes[2] } else { bytes[3] });
            at += 1;
            match code {
                LOAD => loaded = load(k),
                EQUAL => at += jump(loaded == k),
                GREATER => at += jump(loaded > k),
                AT_LEAST => at += jump(loaded >= k),
                RETURN => return k,
                // seccompiler's: jump always, and with a mask.
                0x05 => at += k as usize,
                0x54 => loaded &= k,
                _ => panic!("instruction {code:#x}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn every_call_gets_the_profiles_answer() {
        let program = docker_default(DOCKER_CAPABILITIES).unwrap();
        let listed: BTreeSet<u32> = numbers(profile::ALLOWED)
            .chain(numbers(profile::OF_ARCHITECTURE))
            .chain(numbers("chroot"))
            .collect();
        for call in Sysno::iter() {
            let expected = match call {
                Sysno::socket | Sysno::personality | Sysno::clone => continue,
                Sysno::clone3 => ENOSYS,
                call if listed.contains(&(call as u32)) => ALLOW,
                _ => EPERM,
            };
            let got = answer(&program, ARCHITECTURE.1, call as u32, 0);
            assert_eq!(got, expected, "{call}");
        }
    }

    #[test]
    fn arguments_decide_where_the_profile_says_so() {
        let program = docker_default(DOCKER_CAPABILITIES).unwrap();
        let ask = |call: Sysno, argument| answer(&program, ARCHITECTURE.1, call as u32, argument);
        for (family, expected) in [
            (1, ALLOW),
            (2, ALLOW),
            (37, ALLOW),
            (38, EPERM),
            (39, ALLOW),
            (40, EPERM),
            (41, ALLOW),
            // The kernel does not look at the upper half.
            (1 << 32 | 40, EPERM),
        ] {
            assert_eq!(ask(Sysno::socket, family), expected, "{family}");
        }
        for (persona, expected) in [(0, ALLOW), (0x2_0008, ALLOW), (0x4_0000, EPERM)] {
            assert_eq!(ask(Sysno::personality, persona), expected, "{persona:#x}");
        }
        let new_user = libc::CLONE_NEWUSER as u64;
        for (flags, expected) in [(0x11, ALLOW), (0x3d_0f00, ALLOW), (new_user | 0x11, EPERM)] {
            assert_eq!(ask(Sysno::clone, flags), expected, "{flags:#x}");
        }
    }

    #[test]
    fn other_architectures_and_calls_of_the_future_do_not_exist() {
        let program = docker_default(DOCKER_CAPABILITIES).unwrap();
        // AUDIT_ARCH_I386, where 1 is exit and 11 execve.
        for number in [1, 11] {
            assert_eq!(answer(&program, 0x4000_0003, number, 0), ENOSYS);
        }
        assert_eq!(answer(&program, ARCHITECTURE.1, 0x4000_0001, 0), ENOSYS);
        assert_eq!(answer(&program, ARCHITECTURE.1, 1000, 0), ENOSYS);
    }

    #[test]
    fn capabilities_open_their_calls() {
        let ask = |capabilities: &[Capability], call: Sysno, argument| {
            let program = docker_default(capabilities).unwrap();
            answer(&program, ARCHITECTURE.1, call as u32, argument)
        };
        assert_eq!(ask(&[], Sysno::chroot, 0), EPERM);
        assert_eq!(ask(&[], Sysno::mount, 0), EPERM);
        let admin = &[Capability::SysAdmin];
        for call in [Sysno::mount, Sysno::clone3, Sysno::setns, Sysno::bpf] {
            assert_eq!(ask(admin, call, 0), ALLOW, "{call}");
        }
        assert_eq!(ask(admin, Sysno::clone, libc::CLONE_NEWUSER as u64), ALLOW);
        assert_eq!(
            ask(&[Capability::Perfmon], Sysno::perf_event_open, 0),
            ALLOW
        );
    }

    /// A name with a slip of the pen would silently never be allowed.
    #[test]
    fn every_name_is_a_call() {
        let names = profile::WITH_CAPABILITY.iter().map(|(_, names)| *names);
        for name in names
            .chain([profile::ALLOWED, profile::OF_ARCHITECTURE])
            .flat_map(str::split_whitespace)
        {
            if cfg!(target_arch = "x86_64") {
                assert!(name.parse::<Sysno>().is_ok(), "{name}");
            }
        }
    }
}
