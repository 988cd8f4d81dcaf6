//! Clocks, percentiles, memory.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Wall times of single operations, sorted, and the processor time of all.
#[derive(Debug)]
pub(crate) struct Samples {
    sorted: Vec<Duration>,
    cpu: Duration,
}

/// Starts with processor time and collects.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    cpu: Duration,
    samples: Vec<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            cpu: process_cpu(),
            samples: Vec::new(),
        }
    }

    pub(crate) async fn time<T>(&mut self, operation: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = operation.await;
        self.samples.push(started.elapsed());
        result
    }

    pub(crate) fn stop(self) -> Samples {
        Samples::new(self.samples, process_cpu() - self.cpu)
    }
}

/// Like `Stopwatch`, for operations with others between them whose processor time doesn't count.
#[derive(Debug, Default)]
pub(crate) struct Laps {
    cpu: Duration,
    samples: Vec<Duration>,
}

impl Laps {
    pub(crate) async fn time<T>(&mut self, operation: impl Future<Output = T>) -> T {
        let (started, cpu) = (Instant::now(), process_cpu());
        let result = operation.await;
        self.samples.push(started.elapsed());
        self.cpu += process_cpu() - cpu;
        result
    }

    pub(crate) fn stop(self) -> Samples {
        Samples::new(self.samples, self.cpu)
    }
}

impl Samples {
    pub(crate) fn new(mut times: Vec<Duration>, cpu: Duration) -> Self {
        times.sort_unstable();
        Self { sorted: times, cpu }
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let index = (self.sorted.len() * percent / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn cpu_each(&self) -> Duration {
        self.cpu / u32::try_from(self.sorted.len().max(1)).unwrap_or(u32::MAX)
    }

    pub(crate) fn show(&self) -> String {
        format!(
            "p50 {}, p99 {}, CPU {}",
            show(self.percentile(50)),
            show(self.percentile(99)),
            show(self.cpu_each())
        )
    }
}

pub(crate) fn show(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 10.0 {
        format!("{micros:.1} µs")
    } else if micros < 1_000.0 {
        format!("{micros:.0} µs")
    } else if micros < 100_000.0 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.0} ms", micros / 1e3)
    }
}

pub(crate) fn ratio(ours: Duration, baseline: Duration) -> Option<f64> {
    (baseline > Duration::ZERO).then(|| ours.as_secs_f64() / baseline.as_secs_f64())
}

/// The middle one; of an even number, the upper of the two.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process in bytes; 0 where the system doesn't say.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!(
        "Machine: {cores} cores, {model}, {} {}\n",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
