//! What the payload may do: capabilities, and the order in which they are given up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! capabilities {
    ($($variant:ident = $number:literal $name:literal),* $(,)?) => {
        /// A Linux capability (capabilities(7)); its value is the kernel's number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Capability {
            $(#[doc = concat!("`", $name, "`")] $variant = $number),*
        }

        impl Capability {
            /// All that this version knows, in the kernel's order.
            pub const ALL: &[Capability] = &[$(Capability::$variant),*];

            /// The kernel's name, such as `CAP_CHOWN`.
            pub fn name(self) -> &'static str {
                match self { $(Capability::$variant => $name),* }
            }
        }
    };
}

capabilities! {
    Chown = 0 "CAP_CHOWN",
    DacOverride = 1 "CAP_DAC_OVERRIDE",
    DacReadSearch = 2 "CAP_DAC_READ_SEARCH",
    Fowner = 3 "CAP_FOWNER",
    Fsetid = 4 "CAP_FSETID",
    Kill = 5 "CAP_KILL",
    Setgid = 6 "CAP_SETGID",
    Setuid = 7 "CAP_SETUID",
    Setpcap = 8 "CAP_SETPCAP",
    LinuxImmutable = 9 "CAP_LINUX_IMMUTABLE",
    NetBindService = 10 "CAP_NET_BIND_SERVICE",
    NetBroadcast = 11 "CAP_NET_BROADCAST",
    NetAdmin = 12 "CAP_NET_ADMIN",
    NetRaw = 13 "CAP_NET_RAW",
    IpcLock = 14 "CAP_IPC_LOCK",
    IpcOwner = 15 "CAP_IPC_OWNER",
    SysModule = 16 "CAP_SYS_MODULE",
    SysRawio = 17 "CAP_SYS_RAWIO",
    SysChroot = 18 "CAP_SYS_CHROOT",
    SysPtrace = 19 "CAP_SYS_PTRACE",
    SysPacct = 20 "CAP_SYS_PACCT",
    SysAdmin = 21 "CAP_SYS_ADMIN",
    SysBoot = 22 "CAP_SYS_BOOT",
    SysNice = 23 "CAP_SYS_NICE",
    SysResource = 24 "CAP_SYS_RESOURCE",
    SysTime = 25 "CAP_SYS_TIME",
    SysTtyConfig = 26 "CAP_SYS_TTY_CONFIG",
    Mknod = 27 "CAP_MKNOD",
    Lease = 28 "CAP_LEASE",
    AuditWrite = 29 "CAP_AUDIT_WRITE",
    AuditControl = 30 "CAP_AUDIT_CONTROL",
    Setfcap = 31 "CAP_SETFCAP",
    MacOverride = 32 "CAP_MAC_OVERRIDE",
    MacAdmin = 33 "CAP_MAC_ADMIN",
    Syslog = 34 "CAP_SYSLOG",
    WakeAlarm = 35 "CAP_WAKE_ALARM",
    BlockSuspend = 36 "CAP_BLOCK_SUSPEND",
    AuditRead = 37 "CAP_AUDIT_READ",
    Perfmon = 38 "CAP_PERFMON",
    Bpf = 39 "CAP_BPF",
    CheckpointRestore = 40 "CAP_CHECKPOINT_RESTORE",
}

/// Docker's default set: 00000000a80425fb in `/proc/<pid>/status`.
pub const DOCKER_CAPABILITIES: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A capability's name that no known kernel has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {name:?}")]
pub struct UnknownCapability {
    /// The name as given.
    pub name: String,
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Docker's way: any case, `CAP_` may be left out.
    fn from_str(text: &str) -> Result<Self, UnknownCapability> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Self::ALL
            .iter()
            .copied()
            .find(|capability| &capability.name()["CAP_".len()..] == bare)
            .ok_or_else(|| UnknownCapability { name: text.into() })
    }
}

/// The kernel's bit set of some capabilities.
pub fn bits(capabilities: &[Capability]) -> u64 {
    capabilities
        .iter()
        .fold(0, |bits, capability| bits | 1 << *capability as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_default_set_is_what_docker_shows() {
        assert_eq!(bits(DOCKER_CAPABILITIES), 0xa804_25fb);
    }

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for text in ["CAP_NET_RAW", "net_raw", "Cap_Net_Raw"] {
            assert_eq!(text.parse(), Ok(Capability::NetRaw));
        }
        assert!("CAP_CAP_CHOWN".parse::<Capability>().is_err());
        assert!("".parse::<Capability>().is_err());
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (number, capability) in Capability::ALL.iter().enumerate() {
            assert_eq!(*capability as usize, number);
        }
    }
}
