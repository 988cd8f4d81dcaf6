//! One trial: a process is killed, perhaps its successor as well, until one lives to the end; and what is left is looked at each time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::protocol::KILL_POINTS;
use sandbar::store::AuditHash;
use serde_json::Value;

use super::check::{self, Left, Witness};
use super::life::{self, Acknowledged, Kill, Life, Orders};
use super::server::Server;
use super::world::{Common, SCENES, World};
use crate::chance::Chance;

/// Trials of one round that kill at any time, beside one for each point.
const ANY_TIMES: usize = 4;

/// More lives than a trial can need.
const MAX_LIVES: u64 = 6;

/// How often a trial is begun anew because its process did not come to where it was to die: how events fall into commits is chance.
const MAX_MISSES: u64 = 4;

/// Whoever dies here leaves an effect of which nobody can know whether it happened.
const IN_DOUBT: &str = "agent.tool.flushed";

/// What processes do that nobody kills.
#[derive(Debug)]
pub(crate) struct Reference {
    /// How often the first process passes each point, and how long it lives.
    first: BTreeMap<String, u64>,
    took: Duration,
    /// How often the one passes them that takes over.
    second: BTreeMap<String, u64>,
    transcripts: BTreeMap<&'static str, Value>,
}

#[derive(Debug, Default)]
pub(crate) struct Trial {
    pub(crate) seed: u64,
    /// The point that the trial is for, or how else it kills.
    pub(crate) place: &'static str,
    pub(crate) kills: u64,
    /// Runs that were unfinished after a kill.
    pub(crate) resumed: u64,
    pub(crate) acknowledged: u64,
    pub(crate) double_calls: u64,
    /// From the start of a process that takes over to the first event that it commits.
    pub(crate) recoveries: Vec<Duration>,
    pub(crate) problems: Vec<String>,
}

/// A directory and its outside world, from life to life.
struct Scenery<'a> {
    world: World,
    server: Server,
    without_intents: bool,
    /// Another process answers what the one asks that dies.
    elsewhere: bool,
    reference: Option<&'a Reference>,
    acknowledged: Vec<Acknowledged>,
    /// What the audit ended with when it was last looked at.
    audited: Option<AuditHash>,
}

impl Reference {
    pub(crate) fn find(common: &Common) -> Result<Self> {
        // The first process compiles what no other one has to.
        Scenery::new(common, None, false)?.live(None, false)?;
        let mut scenery = Scenery::new(common, None, false)?;
        let (first, _) = scenery.live(None, true)?;
        let (second, left) = scenery.live(None, false)?;
        ensure!(left.problems.is_empty(), "without a kill: {:#?}", left.problems);
        Ok(Self {
            first: first.passages,
            took: first.took,
            second: second.passages,
            transcripts: left.transcripts,
        })
    }

    /// Where the processes of a trial die, one after the other.
    fn plan(&self, place: &'static str, chance: &mut Chance, misses: u64) -> Vec<Kill> {
        // What is passed often is mostly passed as often again.
        let mut passage = |count: u64, misses: u64| match misses {
            0 => 1 + chance.below((count * 3 / 4).max(1) as usize) as u64,
            _ => 1,
        };
        let count = |passages: &BTreeMap<String, u64>, place: &str| passages.get(place).copied().unwrap_or(0);
        if place == ANY_TIME {
            let most = self.took.as_millis() as u64;
            let mut any = || Kill::After(Duration::from_millis(passage(most * 4 / 3, 0)));
            return vec![any(), any()];
        }
        // Where there is no journal yet, opening it is no test.
        if place.starts_with("store.open") || count(&self.first, place) == 0 {
            let doubtful = passage(count(&self.first, IN_DOUBT), 0);
            return vec![
                Kill::Point(IN_DOUBT, doubtful),
                Kill::Point(place, passage(count(&self.second, place), misses)),
            ];
        }
        let first = Kill::Point(place, passage(count(&self.first, place), misses));
        // Sometimes the one that takes over dies there as well, or anywhere, and the one after that.
        let dice = passage(8, 0);
        let mut anywhere = || {
            let place = KILL_POINTS[passage(KILL_POINTS.len() as u64 * 4 / 3, 0) as usize - 1];
            Kill::Point(place, passage(count(&self.second, place), 0))
        };
        match dice {
            1 => vec![first.clone(), first],
            2 => vec![first, anywhere(), anywhere()],
            3 => vec![first, anywhere()],
            _ => vec![first],
        }
    }
}

/// Instead of the name of a point.
const ANY_TIME: &str = "at any time";

impl Trial {
    /// How many trials go once around.
    pub(crate) fn round() -> u64 {
        (KILL_POINTS.len() + ANY_TIMES) as u64
    }

    /// The seed alone says where the trial kills.
    pub(crate) fn run(common: &Common, reference: &Reference, seed: u64, without_intents: bool) -> Result<Self> {
        let index = (seed.wrapping_sub(1) % Self::round()) as usize;
        let place = KILL_POINTS.get(index).copied().unwrap_or(ANY_TIME);
        let mut misses = 0;
        loop {
            let mut chance = Chance::new(seed.wrapping_add(misses << 32));
            let plan = reference.plan(place, &mut chance, misses);
            let mut scenery = Scenery::new(common, Some(reference), without_intents)?;
            // It takes from the first what only the first is to come to.
            scenery.elsewhere = misses == 0 && !without_intents && chance.percent(25);
            let trial = Self {
                seed,
                place,
                ..Self::default()
            };
            let (mut trial, reached) = trial.lives(scenery, &plan)?;
            misses += 1;
            if reached || misses == MAX_MISSES || !trial.problems.is_empty() {
                if !reached {
                    trial.problems.push("no process came to where it was to die".to_owned());
                }
                return Ok(trial);
            }
        }
    }

    /// Life after life. Says whether the place that the trial is for was come to.
    fn lives(mut self, mut scenery: Scenery<'_>, plan: &[Kill]) -> Result<(Self, bool)> {
        let mut reached = self.place == ANY_TIME;
        let mut plan = plan.iter();
        let mut unfinished = 0;
        for number in 0..MAX_LIVES {
            let kill = plan.next().cloned();
            let for_it = matches!(&kill, Some(Kill::Point(name, _)) if *name == self.place);
            let (life, left) = scenery.live(kill, number == 0)?;
            reached |= for_it && life.killed;
            self.kills += u64::from(life.killed);
            if unfinished > 0 {
                self.recoveries.extend(life.first_event);
            }
            self.double_calls = left.double_calls;
            self.problems.extend(
                left.problems
                    .into_iter()
                    .map(|problem| format!("after life {}: {problem}", number + 1)),
            );
            unfinished = left.unfinished;
            if life.killed {
                self.resumed += unfinished;
            }
            // What is wrong without intents becomes double calls in the lives that follow.
            let wrong = !self.problems.is_empty() && !scenery.without_intents;
            if wrong || (number > 0 && !life.killed) {
                break;
            }
        }
        self.acknowledged = scenery.acknowledged.len() as u64;
        Ok((self, reached))
    }
}

impl<'a> Scenery<'a> {
    fn new(common: &Common, reference: Option<&'a Reference>, without_intents: bool) -> Result<Self> {
        Ok(Self {
            world: common.world()?,
            server: Server::start()?,
            without_intents,
            elsewhere: false,
            reference,
            acknowledged: Vec::new(),
            audited: None,
        })
    }

    /// A life, and what it has left.
    fn live(&mut self, kill: Option<Kill>, leave: bool) -> Result<(Life, Left)> {
        let orders = Orders {
            kill,
            leave,
            without_intents: self.without_intents,
            elsewhere: self.elsewhere,
        };
        let life = life::live(&self.world, self.server.address(), &orders)?;
        self.acknowledged.extend(life.acknowledged.iter().cloned());
        let done = !life.killed && !leave;
        let witness = Witness {
            acknowledged: &self.acknowledged,
            counts: &self.server.counts(),
            audited: self.audited,
            done,
        };
        let mut left = check::look(&self.world, witness)?;
        self.audited = left.audited;
        left.problems.extend(life.problem.clone());
        if let Some(reference) = self.reference.filter(|_| done) {
            for (session, transcript) in &left.transcripts {
                // How much of a turn had been done when it was cancelled is chance.
                let comparable = SCENES.iter().any(|scene| scene.session == *session && !scene.cancelled);
                if comparable && reference.transcripts.get(session) != Some(transcript) {
                    let problem = difference(reference.transcripts.get(session).unwrap_or(&Value::Null), transcript);
                    left.problems
                        .push(format!("session `{session}` is not as without a kill: {problem}"));
                }
            }
        }
        Ok((life, left))
    }
}

/// The first place at which two values differ.
fn difference(wanted: &Value, found: &Value) -> String {
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            let differing = pairs.find(|(_, (wanted, found))| wanted != found);
            differing.map_or_else(String::new, |(index, (wanted, found))| {
                format!("[{index}]{}", difference(wanted, found))
            })
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let mut keys = wanted.keys().chain(found.keys());
            let differing = keys.find(|key| wanted.get(*key) != found.get(*key));
            differing.map_or_else(String::new, |key| {
                let of = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                format!(".{key}{}", difference(&of(wanted), &of(found)))
            })
        }
        _ => format!(": {wanted} was wanted, {found} was found"),
    }
}
