//! The turnstile: of all runs that could go on, as many at a time are worked on as the executor has threads.
//!
//! Two hundred runs that begin at the same instant would all stand in the executor's queue, and a timer or a request of the embedding
//! program behind all of them. Here they stand in a line of their own, and for each thread there is one porter in the executor's queue: it
//! works on the first run in the line until that waits for something, and goes to the end of the queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Dropping it ends the porters: whoever is in the line then never goes on.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    line: Arc<Line>,
    porters: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Line(Mutex<InLine>);

#[derive(Debug, Default)]
struct InLine {
    visitors: VecDeque<Arc<Visitor>>,
    /// Porters that have nothing to do.
    idle: Vec<Waker>,
}

/// Work that goes through the turnstile each time that it goes on.
struct Visitor {
    line: Arc<Line>,
    state: Mutex<State>,
}

struct State {
    stands: Stands,
    /// None while it is worked on, and when it is over.
    work: Option<BoxFuture<'static, ()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Nothing has happened that it waits for.
    Outside,
    InLine,
    /// It is worked on at this moment.
    Inside,
    /// And something has happened meanwhile.
    InsideAgain,
    /// It has ended, or nobody wants it any more.
    Gone,
}

/// Somebody who waits for a visitor; when this is dropped, nobody does.
struct Waiting(Arc<Visitor>);

impl Turnstile {
    /// The work, for a task of its own. Dropping that ends the work; if the work panics, it ends too.
    pub(crate) fn through(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.call_porters();
        let (end, ended) = oneshot::channel::<()>();
        // Dropped with the work, also by a panic. An `async` block around it would take twice its memory.
        let work = work.map(move |()| drop(end));
        let waiting = Waiting(Arc::new(Visitor {
            line: self.line.clone(),
            state: Mutex::new(State {
                stands: Stands::Outside,
                work: Some(Box::pin(work)),
            }),
        }));
        async move {
            waiting.0.wake_by_ref();
            // It is never sent, and closed at the end.
            let _ = ended.await;
            drop(waiting);
        }
    }

    /// One for each thread of the executor. They end with an executor that they are in; the next one gets others.
    fn call_porters(&self) {
        let wanted = tokio::runtime::Handle::current().metrics().num_workers();
        let mut porters = self.porters.lock().unwrap_or_else(PoisonError::into_inner);
        while porters.try_join_next().is_some() {}
        if porters.len() >= wanted {
            return;
        }
        while porters.len() < wanted {
            let line = self.line.clone();
            porters.spawn(std::future::poll_fn(move |context| line.serve(context)));
        }
        // Those that are no more leave the line this way.
        let idle = std::mem::take(&mut self.line.lock().idle);
        idle.into_iter().for_each(Waker::wake);
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, InLine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, visitor: Arc<Visitor>) {
        let mut line = self.lock();
        line.visitors.push_back(visitor);
        let porter = line.idle.pop();
        drop(line);
        porter.into_iter().for_each(Waker::wake);
    }

    /// What a porter does in its turn.
    fn serve(&self, context: &mut Context<'_>) -> Poll<()> {
        let next = self.lock().visitors.pop_front();
        if let Some(visitor) = next {
            visitor.go_on();
        }
        let mut line = self.lock();
        if line.visitors.is_empty() {
            line.idle.push(context.waker().clone());
        } else {
            drop(line);
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Visitor {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on(self: Arc<Self>) {
        let mut state = self.state();
        if state.stands != Stands::InLine {
            return;
        }
        state.stands = Stands::Inside;
        let Some(mut work) = state.work.take() else { return };
        drop(state);
        let waker = Waker::from(self.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            work.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        let mut state = self.state();
        match (polled, state.stands) {
            (Ok(Poll::Pending), Stands::InsideAgain) => {
                state.stands = Stands::InLine;
                state.work = Some(work);
                drop(state);
                // Behind those that have waited meanwhile.
                self.line.clone().join(self);
            }
            (Ok(Poll::Pending), Stands::Inside) => {
                state.stands = Stands::Outside;
                state.work = Some(work);
            }
            _ => {
                state.stands = Stands::Gone;
                drop(state);
                drop(work);
            }
        }
    }
}

impl Wake for Visitor {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        match state.stands {
            Stands::Outside => {
                state.stands = Stands::InLine;
                drop(state);
                self.line.join(self.clone());
            }
            Stands::Inside => state.stands = Stands::InsideAgain,
            Stands::InLine | Stands::InsideAgain | Stands::Gone => {}
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stands = Stands::Gone;
        let work = state.work.take();
        drop(state);
        drop(work);
    }
}

impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitor")
            .field("stands", &self.state().stands)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinSet;

    use super::*;

    /// Lets others go first. What comes with the executor wakes all that do so at once, the last of them first.
    async fn let_others() {
        let mut asked = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn others_wait_for_one_visitor() {
        let turnstile = Turnstile::default();
        let polls = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            let polls = polls.clone();
            tasks.spawn(turnstile.through(async move {
                for _ in 0..10 {
                    polls.fetch_add(1, Ordering::Relaxed);
                    let_others().await;
                }
            }));
        }
        tasks.spawn(async move {
            let (mut before, mut most) = (polls.load(Ordering::Relaxed), 0);
            while before < 1_000 {
                let_others().await;
                let now = polls.load(Ordering::Relaxed);
                most = most.max(now - before);
                before = now;
            }
            assert_eq!(most, 1);
        });
        tasks.join_all().await;
    }

    #[tokio::test]
    async fn each_goes_on_in_its_turn() {
        let turnstile = Turnstile::default();
        let (sender, mut told) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for number in 0..5 {
            let sender = sender.clone();
            tasks.spawn(turnstile.through(async move {
                for _ in 0..10 {
                    sender.send(number).unwrap();
                    let_others().await;
                }
            }));
        }
        tasks.join_all().await;
        drop(sender);
        let mut order = Vec::new();
        while let Some(one) = told.recv().await {
            order.push(one);
        }
        let all_stand_in_line = order.iter().position(|number| *number == 4).unwrap();
        let first_ends = order.len() - 5;
        for five in order[all_stand_in_line..first_ends].windows(5) {
            assert!((0..5).all(|number| five.contains(&number)), "{order:?}");
        }
    }

    /// Whoever ends, whichever way, leaves the way free for others.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_is_forgotten() {
        let turnstile = Turnstile::default();
        let ended = Arc::new(AtomicUsize::new(0));
        let (mut tasks, mut wakers) = (JoinSet::new(), Vec::new());
        for number in 0..1_000_usize {
            let (sender, woken) = oneshot::channel::<()>();
            let ended = ended.clone();
            let task = tasks.spawn(turnstile.through(async move {
                for _ in 0..number % 7 {
                    let_others().await;
                }
                // Some are woken by a word, some by the end of who would have said it.
                let _ = woken.await;
                assert!(number % 5 > 0, "one that panics");
                let_others().await;
                ended.fetch_add(1, Ordering::Relaxed);
            }));
            // It ends before it is woken, wherever it is then.
            if number % 3 == 0 {
                task.abort();
            }
            wakers.push((number, sender));
        }
        let waking = std::thread::spawn(move || {
            for (number, sender) in wakers {
                if number % 2 == 0 {
                    let _ = sender.send(());
                }
            }
        });
        while tasks.join_next().await.is_some() {}
        waking.join().unwrap();
        let neither_ended_nor_panicked = (0..1_000).filter(|number| number % 3 > 0 && number % 5 > 0);
        assert!(ended.load(Ordering::Relaxed) >= neither_ended_nor_panicked.count());
        turnstile.through(let_others()).await;
    }

    /// What is over is dropped at once, with all that it held.
    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped() {
        let turnstile = Turnstile::default();
        let (sender, dropped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        let task = tasks.spawn(turnstile.through(async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        }));
        let_others().await;
        task.abort();
        assert!(dropped.await.is_err());
    }

    #[test]
    fn an_executor_may_follow_another() {
        let turnstile = Turnstile::default();
        for _ in 0..3 {
            let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
            executor.block_on(async { turnstile.through(let_others()).await });
        }
    }
}
