//! Futures side by side, a bounded number at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What comes of all of them, in no order, `most` at once; the first error ends it.
pub(super) async fn all<'a, T, E, F>(
    futures: impl IntoIterator<Item = F>,
    most: usize,
) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>> + 'a,
{
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut done = Vec::new();
    loop {
        while running.len() < most
            && let Some(next) = waiting.next()
        {
            running.push(Box::pin(next));
        }
        if running.is_empty() {
            return Ok(done);
        }
        let finished = poll_fn(|context| {
            for at in 0..running.len() {
                if let Poll::Ready(output) = running[at].as_mut().poll(context) {
                    drop(running.swap_remove(at));
                    return Poll::Ready(output);
                }
            }
            Poll::Pending
        });
        done.push(finished.await?);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn so_many_run_at_once_and_an_error_ends_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (running, most) = (Cell::new(0), Cell::new(0));
        let one = |number: usize| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                for _ in 0..number % 5 {
                    tokio::task::yield_now().await;
                }
                running.set(running.get() - 1);
                match number {
                    99 => Err(number),
                    number => Ok(number),
                }
            }
        };
        let mut done = runtime.block_on(all((0..20).map(one), 3)).unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert_eq!((running.get(), most.get()), (0, 3));
        assert_eq!(runtime.block_on(all([1, 99, 2].map(one), 2)), Err(99));
    }
}
