//! Threads that drive connections, each with a runtime of its own.

use std::future::Future;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::oneshot;

/// Runs `work` on a thread of its own, which stays on the `index`th core of those that this process may use when it is
/// `pinned`. Gives what comes of it.
///
/// # Errors
/// When there is no thread or no runtime to be had.
pub(super) fn run<T: Send + 'static>(
    name: &str,
    index: usize,
    pinned: bool,
    work: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<impl Future<Output = io::Result<T>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
        if pinned && let Err(error) = pin(index) {
            tracing::warn!(%error, index, "a thread could not be kept on one core");
        }
        // Nobody is there to be told when whoever served was dropped.
        let _ = done.send(runtime.block_on(work));
    })?;
    Ok(async { result.await.unwrap_or_else(|_| Err(io::Error::other("a thread of the listener has died"))) })
}

fn pin(index: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    let Some(core) = index.checked_rem(cores.len()).and_then(|index| cores.get(index)) else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(*core);
    Ok(sched_setaffinity(None, &one)?)
}
