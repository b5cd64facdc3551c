//! Named tasks and ordered shutdown.
//!
//! Stages end in order: first intake, then work, then storage. A stage's tasks are told to stop by its token, and the
//! next stage is told only when they have ended, so nothing is asked of a part that is already gone.

use std::future::Future;
use std::time::Duration;

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
}
