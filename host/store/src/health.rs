//! The table of plugins whose calls failed: how often, and which of them are put aside.
//!
//! Only failures that the host found count - a crash, a limit, an answer that is none -, never an error that the plugin itself reports.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{AuditDecision, AuditEntry, DecidedBy, Error, ErrorKind, Result, kill_point};

use crate::columns;
use crate::error::Doing as _;
use crate::lock;
use crate::store::Store;

/// So many failures with no good call between them put a plugin aside. A plugin that fails each time makes the model try again until the
/// run's budget is gone, and each try costs the processor time that a call may use.
pub const FAILURES_IN_A_ROW: u32 = 5;

/// So many failures within `FAILURES_WITHIN_MS` do so as well, with good calls between them: one call in two that burns its limit would
/// never be five in a row.
pub const FAILURES_LATELY: usize = 10;

/// Ten minutes.
pub const FAILURES_WITHIN_MS: u64 = 10 * 60 * 1000;

/// The longest reason that is kept, in bytes: a crash brings along what the plugin printed.
const MAX_REASON_BYTES: usize = 400;

/// A component that has failed, under the name that it had. Another component under the name starts afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHealth {
    pub plugin: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// Since the last good call.
    pub in_a_row: u32,
    /// Why the last call failed.
    pub reason: String,
    /// When it was put aside; none while it may be called.
    pub put_aside_ms: Option<u64>,
    /// Times of the failures that still count, oldest first.
    lately: Vec<u64>,
}

impl Store {
    /// All plugins that have failed since they were last enabled, by name.
    pub fn plugin_health(&self) -> Result<Vec<PluginHealth>> {
        self.readers().read(list)
    }

    /// The same of one component.
    pub fn health_of(&self, plugin: &str, digest: &str) -> Result<Option<PluginHealth>> {
        self.readers().read(|connection| find(connection, plugin, digest))
    }

    /// A call failed in a way that the host found. Gives what is known of the plugin now; it may have been put aside by this.
    pub async fn plugin_failed(&self, plugin: &str, digest: &str, reason: &str) -> Result<PluginHealth> {
        let now_ms = self.clock().now_ms();
        let cut = reason.floor_char_boundary(MAX_REASON_BYTES);
        let failed = PluginHealth {
            plugin: plugin.to_owned(),
            digest: digest.to_owned(),
            in_a_row: 0,
            reason: reason[..cut].split_whitespace().collect::<Vec<_>>().join(" "),
            put_aside_ms: None,
            lately: Vec::new(),
        };
        let known = std::sync::Arc::new(std::sync::Mutex::new(failed.clone()));
        let told = known.clone();
        self.change_audited(move |connection| {
            let (health, entries) = fail(connection, &failed, now_ms)?;
            *lock(&told) = health;
            Ok(entries)
        })
        .await?;
        let health = lock(&known).clone();
        Ok(health)
    }

    /// A call went well, after one that had not.
    pub async fn plugin_recovered(&self, plugin: &str, digest: &str) -> Result<()> {
        let (plugin, digest) = (plugin.to_owned(), digest.to_owned());
        self.change_audited(move |connection| {
            connection
                .prepare_cached("UPDATE plugin_health SET in_a_row = 0 WHERE plugin = ? AND digest = ?")
                .and_then(|mut statement| statement.execute([&plugin, &digest]))
                .doing("record that a plugin is well")?;
            Ok(Vec::new())
        })
        .await
    }

    /// Lets a plugin that was put aside be called again, and forgets its failures.
    pub async fn enable_plugin(&self, plugin: &str, by: &str) -> Result<()> {
        let (plugin, by) = (plugin.to_owned(), by.to_owned());
        self.change_audited(move |connection| enable(connection, &plugin, &by))
            .await
    }
}

fn fail(connection: &Connection, failed: &PluginHealth, now_ms: u64) -> Result<(PluginHealth, Vec<AuditEntry>)> {
    let before = find(connection, &failed.plugin, &failed.digest)?;
    let mut health = before.unwrap_or_else(|| failed.clone());
    health.reason.clone_from(&failed.reason);
    let was_aside = health.put_aside_ms.is_some();
    health.note_failure(now_ms);
    write(connection, &health)?;
    let entry = || AuditEntry {
        plugin: Some(health.plugin.clone()),
        digest: Some(health.digest.clone()),
        decision: AuditDecision::Denied,
        ..AuditEntry::of("plugin.put-aside", &health.reason)
    };
    let entries = if health.put_aside_ms.is_some() && !was_aside {
        vec![entry()]
    } else {
        Vec::new()
    };
    Ok((health, entries))
}

impl PluginHealth {
    fn note_failure(&mut self, now_ms: u64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.lately.retain(|at| now_ms.saturating_sub(*at) < FAILURES_WITHIN_MS);
        self.lately.push(now_ms);
        // More than that put it aside anyway; calls that run beside each other may fail after it was.
        if self.lately.len() > FAILURES_LATELY {
            self.lately.remove(0);
        }
        if self.in_a_row >= FAILURES_IN_A_ROW || self.lately.len() >= FAILURES_LATELY {
            self.put_aside_ms.get_or_insert(now_ms);
        }
    }
}

fn enable(connection: &Connection, plugin: &str, by: &str) -> Result<Vec<AuditEntry>> {
    let aside: Vec<PluginHealth> = list(connection)?
        .into_iter()
        .filter(|health| health.plugin == plugin && health.put_aside_ms.is_some())
        .collect();
    if aside.is_empty() {
        let message = format!("the plugin `{}` is not put aside", plugin.escape_debug());
        return Err(Error::new(ErrorKind::NotFound, "not-put-aside", message)
            .with_hint("`sandbar plugins list` shows which ones are"));
    }
    connection
        .prepare_cached("DELETE FROM plugin_health WHERE plugin = ?")
        .and_then(|mut statement| statement.execute([plugin]))
        .doing("enable a plugin")?;
    kill_point("store.health.enabled");
    let entry = |health: PluginHealth| AuditEntry {
        plugin: Some(health.plugin.clone()),
        digest: Some(health.digest),
        by: DecidedBy::of_answer(by),
        ..AuditEntry::of("plugin.enable", plugin)
    };
    Ok(aside.into_iter().map(entry).collect())
}

fn write(connection: &Connection, health: &PluginHealth) -> Result<()> {
    let lately = serde_json::to_string(&health.lately).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT INTO plugin_health (plugin, digest, in_a_row, lately, reason, put_aside_ms) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (plugin, digest) DO UPDATE SET in_a_row = excluded.in_a_row, lately = excluded.lately,
            reason = excluded.reason, put_aside_ms = excluded.put_aside_ms",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                health.plugin,
                health.digest,
                health.in_a_row,
                lately,
                health.reason,
                health.put_aside_ms.map(|at| at as i64),
            ])
        })
        .doing("record that a plugin failed")?;
    kill_point("store.health.written");
    Ok(())
}

const COLUMNS: &str = "SELECT plugin, digest, in_a_row, lately, reason, put_aside_ms FROM plugin_health";

fn find(connection: &Connection, plugin: &str, digest: &str) -> Result<Option<PluginHealth>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE plugin = ? AND digest = ?"))
        .and_then(|mut statement| statement.query_row([plugin, digest], health).optional())
        .doing("read how a plugin fares")
}

fn list(connection: &Connection) -> Result<Vec<PluginHealth>> {
    connection
        .prepare_cached(&format!("{COLUMNS} ORDER BY plugin, digest"))
        .and_then(|mut statement| statement.query_map([], health)?.collect())
        .doing("read how the plugins fare")
}

fn health(row: &Row<'_>) -> rusqlite::Result<PluginHealth> {
    Ok(PluginHealth {
        plugin: row.get(0)?,
        digest: row.get(1)?,
        in_a_row: row.get(2)?,
        // Times that can't be read are no failures of late.
        lately: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
        reason: row.get(4)?,
        put_aside_ms: columns::optional_number(row, 5)?,
    })
}
