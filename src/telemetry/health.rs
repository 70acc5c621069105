//! Whether this process can serve: its phase, and conditions that may stand in the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// State is being recovered; nothing is served yet.
    Starting,
    /// Requests are served.
    Serving,
    /// Open requests are being finished; no new ones should come.
    Draining,
}

/// Something the process needs, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Its stable name, such as `catalogue`.
    pub name: &'static str,
    /// What is wrong; absent when nothing is.
    pub fault: Option<String>,
}

/// What `/readyz` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether requests should be sent here: the phase is [`Phase::Serving`] and no condition has a fault.
    pub ready: bool,
    /// The phase.
    pub phase: Phase,
    /// Every condition that was ever told, by name.
    pub conditions: Vec<Condition>,
}

/// The health of the process. Clones are the same state.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    conditions: BTreeMap<&'static str, Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State { phase: Phase::Starting, conditions: BTreeMap::new() })) }
    }
}

impl Health {
    /// Moves on to `phase`.
    pub fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Tells how something stands that the process needs: well, or what is wrong with it.
    pub fn tell(&self, name: &'static str, state: Result<(), String>) {
        self.lock().conditions.insert(name, state.err());
    }

    /// The state as it is now.
    pub fn report(&self) -> HealthReport {
        let state = self.lock();
        let conditions: Vec<_> = state.conditions.iter().map(|(&name, fault)| Condition { name, fault: fault.clone() }).collect();
        let ready = state.phase == Phase::Serving && conditions.iter().all(|condition| condition.fault.is_none());
        HealthReport { ready, phase: state.phase, conditions }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so the state is whole even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_serving_without_fault() {
        let health = Health::default();
        assert!(!health.report().ready);
        health.enter(Phase::Serving);
        assert!(health.report().ready);
        health.tell("catalogue", Err("no answer".to_owned()));
        health.tell("store", Ok(()));
        let report = health.report();
        assert!(!report.ready);
        let json = serde_json::to_string(&report).expect("JSON");
        assert_eq!(
            json,
            r#"{"ready":false,"phase":"serving","conditions":[{"name":"catalogue","fault":"no answer"},{"name":"store","fault":null}]}"#
        );
        health.tell("catalogue", Ok(()));
        assert!(health.report().ready);
        health.enter(Phase::Draining);
        assert!(!health.report().ready);
    }
}
