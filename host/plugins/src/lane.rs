//! The lane: niced threads for calls that overstayed, so that a loop costs the host's own work nothing.
//!
//! An executor of its own instead of another tokio runtime, because it must choose: calls that have had little yet go before those that have
//! had much, the session with the least recent processor time goes first, and in it the call with the least. One slice is one epoch tick.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::limits::LONG;
use crate::meter::Meter;
use crate::ticker::Ticker;

/// A session's use halves in this time: what it burnt long ago doesn't count against it.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// A call that has had less than half of another's goes before it, counted in doublings of this many nanoseconds: it is about to be done,
/// for all we know, and a loop is not. Without it a session that computes for 8 ms now and then waits for its turn among 200 loops, since
/// it has used more than each of them.
const YOUNGEST: u64 = 1_000_000;
/// Of so many slices one goes by use alone, so that short calls without end leave something to long ones.
const BY_USE: u64 = 4;

#[derive(Debug)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    ticker: Arc<Ticker>,
}

#[derive(Debug, Default)]
struct Queue {
    sessions: HashMap<Arc<str>, SessionUse>,
    tasks: HashMap<u64, Arc<Task>>,
    /// Calls that nobody waits for any more, to be let go of here: an instance that has written to 32 MiB takes milliseconds to clear away,
    /// and two hundred may be given up at the same instant.
    ended: Vec<Ended>,
    next_id: u64,
    /// Slices so far.
    slices: u64,
    stop: bool,
}

#[derive(Debug)]
struct SessionUse {
    /// Nanoseconds, decayed up to `as_of`.
    used: u64,
    as_of: Instant,
    /// (processor time of the call, id) of what can run.
    runnable: BTreeSet<(u64, u64)>,
    tasks: usize,
}

/// What is left of a call that was given up, and the runtime that its parts are known to.
struct Ended {
    call: Box<dyn Send>,
    runtime: Handle,
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ended")
    }
}

/// What the lane's threads have to do next.
enum Work {
    Slice(Arc<Task>),
    Clear(Ended),
}

struct Task {
    id: u64,
    session: Arc<str>,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    state: Mutex<State>,
    /// What it has had, or is expected to want at least, in nanoseconds.
    cpu: AtomicU64,
    meter: Arc<Meter>,
    /// The runtime of the caller: its timers and files go on.
    runtime: Handle,
    shared: std::sync::Weak<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Runnable,
    Running,
    /// Woken while it ran: to be queued again when the slice is over.
    RunningWoken,
    Over,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Resolves to the call's result. Dropping it ends the call: its future never runs again.
#[derive(Debug)]
pub(crate) struct Moved<T> {
    task: Arc<Task>,
    result: oneshot::Receiver<T>,
}

impl Lane {
    pub(crate) fn start(ticker: Arc<Ticker>, threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            ready: Condvar::new(),
            ticker,
        });
        let threads = (0..threads)
            .map(|n| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("sandbar-lane-{n}"))
                    .spawn(move || run(&shared))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    /// Goes on with a call that overstayed, or begins with one that is likely to. To be called on the caller's runtime.
    pub(crate) fn take<T: Send + 'static>(
        &self,
        session: &Arc<str>,
        meter: Arc<Meter>,
        is_long: bool,
        future: BoxFuture<'static, T>,
    ) -> Moved<T> {
        // Two hundred first slices of those that are known for more than one would otherwise go before the second of one that isn't.
        let expected = if is_long { LONG } else { Duration::ZERO };
        let (sender, result) = oneshot::channel();
        let future: BoxFuture<'static, ()> = Box::pin(async move {
            // An error means that nobody waits any more.
            let _ = sender.send(future.await);
        });
        let task = {
            let mut queue = self.shared.lock();
            queue.next_id += 1;
            let task = Arc::new(Task {
                id: queue.next_id,
                session: Arc::clone(session),
                future: Mutex::new(Some(future)),
                state: Mutex::new(State::Waiting),
                cpu: AtomicU64::new(meter.cpu().max(expected).as_nanos() as u64),
                meter,
                runtime: Handle::current(),
                shared: Arc::downgrade(&self.shared),
            });
            queue.tasks.insert(task.id, task.clone());
            queue.session(session).tasks += 1;
            task
        };
        task.clone().wake();
        Moved { task, result }
    }

    /// Lets go of a call that nobody waits for, not on the thread that gave it up.
    pub(crate) fn clear_away(&self, call: Box<dyn Send>) {
        // Where no runtime is any more, nobody is kept waiting either.
        if let Ok(runtime) = Handle::try_current() {
            self.shared.clear_away(Ended { call, runtime });
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.ready.notify_all();
        for thread in self.threads.drain(..) {
            // What was the last to know the host may be a call, which is dropped where it ran.
            if thread.thread().id() == std::thread::current().id() {
                continue;
            }
            // A slice ends within a tick; a panic in a guest's future was caught there.
            let _ = thread.join();
        }
    }
}

impl<T> Future for Moved<T> {
    /// None: the lane was shut down.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(context).map(Result::ok)
    }
}

impl<T> Drop for Moved<T> {
    fn drop(&mut self) {
        self.task.meter.abandon();
        let running = {
            let mut state = self.task.lock_state();
            let running = matches!(*state, State::Running | State::RunningWoken);
            *state = State::Over;
            running
        };
        if running {
            // The lane's thread drops it when the slice is over, within a tick.
            return;
        }
        if let (Some(ended), Some(shared)) = (self.task.end(), self.task.shared.upgrade()) {
            shared.clear_away(ended);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut queue = shared.lock();
        let mut state = self.lock_state();
        match *state {
            State::Waiting => {
                *state = State::Runnable;
                drop(state);
                let key = (self.cpu.load(Ordering::Relaxed), self.id);
                queue.session(&self.session).runnable.insert(key);
                drop(queue);
                shared.ready.notify_one();
            }
            State::Running => *state = State::RunningWoken,
            State::Runnable | State::RunningWoken | State::Over => {}
        }
    }
}

impl Task {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the task. What is left of its call, unless that was taken before, is to be cleared away.
    fn end(&self) -> Option<Ended> {
        *self.lock_state() = State::Over;
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().forget(self);
        }
        let call = self.future.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Ended {
            call: Box::new(call),
            runtime: self.runtime.clone(),
        })
    }

    /// The same, cleared away on this thread.
    fn finish(&self) {
        if let Some(ended) = self.end() {
            clear(ended);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear_away(&self, ended: Ended) {
        self.lock().ended.push(ended);
        self.ready.notify_one();
    }

    /// What is to be done next; None at the end. Clearing away goes first: it gives places and memory back.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            if let Some(ended) = queue.ended.pop() {
                return Some(Work::Clear(ended));
            }
            if let Some(task) = queue.least_used() {
                return Some(Work::Slice(task));
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn session(&mut self, name: &Arc<str>) -> &mut SessionUse {
        self.sessions.entry(name.clone()).or_insert_with(|| SessionUse {
            used: 0,
            as_of: Instant::now(),
            runnable: BTreeSet::new(),
            tasks: 0,
        })
    }

    /// Sessions are at most as many as instances: a scan is cheaper than an order that every slice changes.
    fn least_used(&mut self) -> Option<Arc<Task>> {
        let now = Instant::now();
        self.slices += 1;
        let by_age = !self.slices.is_multiple_of(BY_USE);
        let session = self
            .sessions
            .values_mut()
            .filter(|session| !session.runnable.is_empty())
            .min_by_key(|session| (if by_age { session.age() } else { 0 }, session.decayed(now)))?;
        let (_, id) = session.runnable.pop_first()?;
        self.tasks.get(&id).cloned()
    }

    fn charge(&mut self, session: &Arc<str>, slice: u64) {
        let now = Instant::now();
        let session = self.session(session);
        session.used = session.decayed(now) + slice;
        session.as_of = now;
    }

    fn forget(&mut self, task: &Task) {
        if self.tasks.remove(&task.id).is_none() {
            return;
        }
        let key = (task.cpu.load(Ordering::Relaxed), task.id);
        if let Some(session) = self.sessions.get_mut(&task.session) {
            session.runnable.remove(&key);
            session.tasks -= 1;
        }
        let now = Instant::now();
        self.sessions
            .retain(|_, session| session.tasks > 0 || session.decayed(now) > 1_000_000);
    }
}

impl SessionUse {
    /// How often the processor time of its youngest call that can run has doubled.
    fn age(&self) -> u32 {
        let youngest = self.runnable.first().map_or(0, |(cpu, _)| *cpu);
        u64::BITS - (youngest / YOUNGEST).leading_zeros()
    }

    fn decayed(&self, now: Instant) -> u64 {
        let halves = now.saturating_duration_since(self.as_of).as_secs_f64() / HALF_LIFE.as_secs_f64();
        (self.used as f64 * 0.5_f64.powf(halves)) as u64
    }
}

fn run(shared: &Arc<Shared>) {
    // Below the host's own threads, so that they run first when both want the processor. Without the right to it (never so far on
    // Linux, where lowering needs none) the lane is only less polite.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
    while let Some(work) = shared.next() {
        match work {
            Work::Slice(task) => slice(shared, &task),
            Work::Clear(ended) => clear(ended),
        }
    }
    // What is left will never run again: let go of the stores here.
    let (left, ended) = {
        let mut queue = shared.lock();
        let left: Vec<_> = queue.tasks.values().cloned().collect();
        (left, std::mem::take(&mut queue.ended))
    };
    ended.into_iter().for_each(clear);
    for task in left {
        task.finish();
    }
}

fn clear(ended: Ended) {
    let Ended { call, runtime } = ended;
    let _runtime = runtime.enter();
    // A store's destructor runs no guest code; a panic in it must not end the thread.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call)));
}

fn slice(shared: &Shared, task: &Arc<Task>) {
    {
        let mut state = task.lock_state();
        if *state != State::Runnable {
            return;
        }
        *state = State::Running;
    }
    let ready = poll(shared, task);
    let again = {
        let mut queue = shared.lock();
        let spent = task.meter.end_slice();
        task.cpu.fetch_add(spent, Ordering::Relaxed);
        queue.charge(&task.session, spent);
        let mut state = task.lock_state();
        if !ready && *state == State::RunningWoken {
            *state = State::Runnable;
            let key = (task.cpu.load(Ordering::Relaxed), task.id);
            queue.session(&task.session).runnable.insert(key);
            true
        } else if !ready && *state == State::Running {
            *state = State::Waiting;
            true
        } else {
            false
        }
    };
    if !again {
        task.finish();
    }
}

/// Whether the call is over.
fn poll(shared: &Shared, task: &Arc<Task>) -> bool {
    let waker = Waker::from(task.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = task.future.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(running) = future.as_mut() else { return true };
    let _runtime = task.runtime.enter();
    let _active = shared.ticker.enter();
    task.meter.begin_slice();
    // The runtime of the caller may be shutting down, which tokio's timers answer with a panic.
    std::panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut context).is_ready())).unwrap_or(true)
}
