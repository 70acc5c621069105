//! What a worker may do once it has its source: compute, read what it was given, answer. Entered before the first byte of
//! an upload is looked at.
//!
//! Three layers, each enough alone against most mischief: resource limits, Landlock (no file, no TCP port can be opened;
//! where the kernel has it), and seccomp (an allow-list of system calls: none that opens, connects, forks or executes).

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// Which threads there may be beside the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// None.
    None,
    /// Those that encoders start. Threads of this process can do no more than it can; other processes stay forbidden.
    OfEncoders,
}

/// Confines this process for good, with at most `memory_max_bytes` of address space. To be called before there is a second
/// thread.
///
/// # Errors
/// When the kernel refuses a limit or the system-call filter. A kernel without Landlock is no error: the filter alone
/// keeps files and sockets shut.
pub fn enter(memory_max_bytes: u64, threads: Threads) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let limit = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, limit(0))?;
    setrlimit(Resource::Fsize, limit(0))?;
    if threads == Threads::None {
        setrlimit(Resource::Nproc, limit(0))?;
    }
    setrlimit(Resource::As, limit(memory_max_bytes))?;
    set_no_new_privs(true)?;
    forbid_files_and_ports().map_err(io::Error::other)?;
    allow_only_listed_calls(threads).map_err(io::Error::other)
}

fn forbid_files_and_ports() -> Result<(), landlock::RulesetError> {
    // Rights are handled and none is granted. What this kernel does not know yet is left out.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?;
    ruleset.create()?.restrict_self()?;
    Ok(())
}

fn allow_only_listed_calls(threads: Threads) -> Result<(), seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    if threads == Threads::OfEncoders {
        // What this call is to make stands in memory, where a filter cannot look. Told that there is no such call, the C
        // library takes the older one, whose flags are in a register.
        let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
        apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, unknown)?;
        rules.extend(ALLOWED_WITH_THREADS.iter().map(|call| (*call, Vec::new())));
        let thread = libc::CLONE_THREAD as u64;
        let makes_a_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
        rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![makes_a_thread])?]);
    }
    apply(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, other: SeccompAction, listed: SeccompAction) -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(seccompiler::Error::from)?;
    let filter = SeccompFilter::new(rules, other, listed, arch).map_err(seccompiler::Error::from)?;
    let program = BpfProgram::try_from(filter).map_err(seccompiler::Error::from)?;
    apply_filter(&program)
}

/// The calls that a thread needs on top, as it begins. The filter before this one answers the first of them.
const ALLOWED_WITH_THREADS: &[i64] = &[libc::SYS_clone3, libc::SYS_set_robust_list, libc::SYS_rseq];

/// The calls that decoding and encoding in one thread need. Anything else fails with EPERM.
const ALLOWED: &[i64] = &[
    // Reading the source, talking to the server.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fcntl,
    libc::SYS_close,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // What the C library and Rust's runtime do on their own.
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Tries, from inside the sandbox, what an exploited decoder would try, and lists what was not refused. An empty list is
/// what there should be.
pub fn escapes() -> Vec<&'static str> {
    let mut escapes = Vec::new();
    let mut attempt = |what, succeeded: bool| {
        if succeeded {
            escapes.push(what);
        }
    };
    attempt("reading a file", std::fs::File::open("/etc/hostname").is_ok());
    attempt("writing a file", std::fs::File::create("/tmp/headwater-worker-escape").is_ok());
    attempt("listing a folder", std::fs::read_dir("/").is_ok());
    attempt("a TCP socket", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    attempt("a UDP socket", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    attempt("a Unix socket", std::os::unix::net::UnixStream::pair().is_ok());
    attempt("a program", std::process::Command::new("/bin/true").status().is_ok());
    attempt("a thread", std::thread::Builder::new().spawn(|| {}).is_ok());
    escapes
}
