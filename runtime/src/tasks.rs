//! Named tasks and ordered shutdown.
//!
//! Stages end in order: first intake, then work, then storage. A stage's tasks are told to stop by its token, and the
//! next stage is told only when they have ended, so nothing is asked of a part that is already gone. A task that the
//! process cannot do without is *vital*: whoever waits at [`Tasks::lost`] learns that one ended before its time.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When a task is told to stop, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Listeners: no new requests.
    Intake,
    /// Background jobs: seal, archive, retention.
    Work,
    /// What the others need until their end.
    Storage,
}

const STAGES: [Stage; 3] = [Stage::Intake, Stage::Work, Stage::Storage];

/// All tasks of a process.
#[derive(Debug, Default)]
pub struct Tasks {
    stages: [(CancellationToken, TaskTracker); 3],
    /// The first vital task that ended by itself.
    lost: watch::Sender<Option<&'static str>>,
}

/// Held by a vital task: tells its end, also by a panic, unless it was told to end.
struct Vital {
    name: &'static str,
    told: CancellationToken,
    lost: watch::Sender<Option<&'static str>>,
}

impl Drop for Vital {
    fn drop(&mut self) {
        if !self.told.is_cancelled() {
            self.lost.send_if_modified(|lost| lost.replace(self.name).is_none());
        }
    }
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that says when tasks of `stage` must end.
    pub fn token(&self, stage: Stage) -> CancellationToken {
        self.stages[stage as usize].0.clone()
    }

    /// Spawns a task. It must end soon after the token of its stage is cancelled.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns, so that every task is waited for")]
    pub fn spawn<F>(&self, stage: Stage, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (_, tracker) = &self.stages[stage as usize];
        tokio::spawn(tracker.track_future(async move {
            task.await;
            tracing::debug!(task = name, "task ended");
        }));
    }

    /// As [`Self::spawn`], for a task that the process cannot do without.
    pub fn spawn_vital<F>(&self, stage: Stage, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let vital = Vital { name, told: self.token(stage), lost: self.lost.clone() };
        self.spawn(stage, name, async move {
            let _told_when_dropped = vital;
            task.await;
        });
    }

    /// Waits until a vital task has ended, or panicked, before it was told to end; its name.
    pub async fn lost(&self) -> &'static str {
        let mut lost = self.lost.subscribe();
        loop {
            if let Some(name) = *lost.borrow_and_update() {
                return name;
            }
            lost.changed().await.expect("the sender lives as long as these tasks");
        }
    }

    /// Ends stage after stage; gives each at most `patience`, then goes on and says so.
    pub async fn shut_down(&self, patience: Duration) {
        for stage in STAGES {
            let (token, tracker) = &self.stages[stage as usize];
            token.cancel();
            tracker.close();
            if tokio::time::timeout(patience, tracker.wait()).await.is_err() {
                tracing::warn!(?stage, left = tracker.len(), "tasks did not end in time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn stages_end_in_order() {
        let tasks = Tasks::new();
        let ended = Arc::new(Mutex::new(Vec::new()));
        for stage in [Stage::Storage, Stage::Intake, Stage::Work] {
            let (token, ended) = (tasks.token(stage), Arc::clone(&ended));
            tasks.spawn(stage, "test", async move {
                token.cancelled().await;
                ended.lock().push(stage);
            });
        }
        tasks.shut_down(Duration::from_secs(10)).await;
        assert_eq!(*ended.lock(), STAGES);
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_or_panics_by_itself_is_missed() {
        let returning = Tasks::new();
        returning.spawn_vital(Stage::Work, "returns", async {});
        assert_eq!(returning.lost().await, "returns");
        let panicking = Tasks::new();
        panicking.spawn_vital(Stage::Intake, "panics", async { panic!("on purpose") });
        assert_eq!(panicking.lost().await, "panics");
    }

    #[tokio::test]
    async fn a_vital_task_that_was_told_to_end_is_not_missed() {
        let tasks = Tasks::new();
        let token = tasks.token(Stage::Work);
        tasks.spawn_vital(Stage::Work, "obeys", async move { token.cancelled().await });
        tasks.spawn(Stage::Work, "ends early, and nobody minds", async {});
        tasks.shut_down(Duration::from_secs(10)).await;
        assert_eq!(*tasks.lost.borrow(), None);
    }
}
