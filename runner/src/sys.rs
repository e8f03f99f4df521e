//! System calls that no safe crate has: the only unsafe code.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which side of a [`fork`] this is.
pub enum Fork {
    /// The new process.
    Child,
    /// The old one; the new one's id.
    Parent(Pid),
}

/// Makes a process: fork(2). Refused (EDEADLK) where there is more than one thread, because the
/// child could wait for ever for a lock that another thread held.
pub fn fork() -> Result<Fork> {
    // A directory for each thread, beside `.` and `..`.
    if rustix::fs::stat("/proc/self/task")?.st_nlink != 3 {
        return Err(Errno::DEADLK);
    }
    // SAFETY: this is the only thread, so the child owns everything it finds.
    let pid = check(unsafe { libc::fork() }.into())?;
    Ok(match Pid::from_raw(pid as i32) {
        Some(pid) => Fork::Parent(pid),
        None => Fork::Child,
    })
}

/// Ends this process at once, without what is registered for its exit: _exit(2).
pub fn exit(code: i32) -> ! {
    // SAFETY: takes a number and never returns.
    unsafe { libc::_exit(code) }
}

/// Leaves namespaces for new ones: unshare(2). File descriptors cannot be unshared with it.
pub fn unshare(namespaces: UnshareFlags) -> Result<()> {
    if namespaces.contains(UnshareFlags::FILES) {
        return Err(Errno::INVAL);
    }
    // SAFETY: only `FILES`, refused above, can take a descriptor from under its owner.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

/// Sets attributes of the mount that `mount` is the root of: mount_setattr(2).
pub fn mount_setattr(mount: BorrowedFd<'_>, set: MountAttrFlags, recursive: bool) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure is read only, and its length is the one passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// Sends a signal of any number: pidfd_send_signal(2).
pub fn pidfd_send_raw_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: no pointer but null is passed, and the descriptor is open for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Marks every descriptor from `first` on to be closed by an exec: close_range(2).
pub fn close_on_exec_from(first: u32) -> Result<()> {
    // SAFETY: nothing is closed now, so no owner loses a descriptor.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    check(result).map(drop)
}

/// Gives every signal its default effect and blocks none, as a program expects at its start.
pub fn reset_signals() {
    /// The kernel's own sigaction is no larger: handler, flags, restorer, one word of mask.
    const DEFAULT: [u64; 4] = [0; 4];
    const MASK_SIZE: usize = 8;
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all zeroes are SIG_DFL, no flags, an empty mask, and no handler of ours is
        // needed again. The C library is passed by, because it keeps two signals to itself, which
        // may have been inherited ignored. SIGKILL and SIGSTOP answer EINVAL, which changes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<u64>(),
                MASK_SIZE,
            )
        };
    }
    // SAFETY: the set, one word long, is only read.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            DEFAULT.as_ptr(),
            std::ptr::null_mut::<u64>(),
            MASK_SIZE,
        )
    };
}

/// Leaves the session keyring for a new, empty one: keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`.
pub fn join_session_keyring() -> Result<()> {
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    check(result).map(drop)
}

/// Puts the abstract sockets of all other processes out of reach of this one and its children:
/// landlock(7). Takes `CAP_SYS_ADMIN`, or `no_new_privs`.
pub fn leave_abstract_sockets() -> Result<()> {
    /// struct landlock_ruleset_attr, as of version 6 of the interface.
    #[repr(C)]
    struct Attributes {
        handled_access_fs: u64,
        handled_access_net: u64,
        scoped: u64,
    }
    /// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`
    const ABSTRACT_UNIX_SOCKET: u64 = 1;
    let attributes = Attributes {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: ABSTRACT_UNIX_SOCKET,
    };
    // SAFETY: the structure is read only, and its length is the one passed.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size_of::<Attributes>(),
            0,
        )
    };
    let ruleset = check(ruleset)?;
    // SAFETY: it is a new descriptor that nothing else owns.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as i32) };
    // SAFETY: takes no pointer, and the descriptor is open for the call.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check(result).map(drop)
}

/// Loads a system call filter, given as the bytes of its instructions: seccomp(2). Unlike
/// `seccompiler::apply_filter` it does not set `no_new_privs`, so it needs `CAP_SYS_ADMIN`.
pub fn load_filter(program: &[u8]) -> Result<()> {
    let instructions: Vec<libc::sock_filter> = program
        .chunks_exact(size_of::<libc::sock_filter>())
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        filter: instructions.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, whose length is the vector's, and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result).map(drop)
}

/// Brings up the interface `lo` of this network namespace: netdevice(7).
pub fn loopback_up(socket: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    check(result.into()).map(drop)
}

/// Takes the descriptor 0 that this process was started with, so that it has an owner.
///
/// To be called once, by a stage whose parent put its channel there.
pub fn take_standard_input() -> Result<OwnedFd> {
    rustix::io::fcntl_getfd(rustix::stdio::stdin())?;
    // SAFETY: it is open, and nothing else in a stage owns or uses descriptor 0.
    Ok(unsafe { OwnedFd::from_raw_fd(0) })
}

/// Becomes another program: execve(2). Returns only the error.
pub fn execve(path: &CStr, args: &[&CStr], env: &[&CStr]) -> Errno {
    let pointers = |strings: &[&CStr]| -> Vec<*const libc::c_char> {
        let strings = strings.iter().map(|string| string.as_ptr());
        strings.chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end in null, and all that they point to outlives the call.
    let result = unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    match check(result.into()) {
        Err(errno) => errno,
        // It does not return where it succeeds.
        Ok(_) => Errno::INVAL,
    }
}

fn check(result: libc::c_long) -> Result<libc::c_long> {
    match result {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(result),
    }
}

/// Makes of a descriptor of `/dev/net/tun` a tap device that stays when it is closed.
pub fn make_tap(tun: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = name.to_bytes();
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::NAMETOOLONG);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq.
    let made = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    check(made.into())?;
    // SAFETY: the argument of TUNSETPERSIST is a number, not a pointer.
    let stays = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, 1) };
    check(stays.into()).map(drop)
}

/// Has the child killed when the thread that spawns it ends, however that comes.
pub fn die_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let parent = rustix::process::getpid();
    let arm = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        match rustix::process::getppid() {
            Some(now) if now == parent => Ok(()),
            _ => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(arm) };
}
