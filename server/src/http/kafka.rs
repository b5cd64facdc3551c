//! What this node reads of Kafka, and how far it is.

use axum::Json;
use ingest::kafka::PartitionStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::gate::Ready;

/// The consumer of this node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KafkaShape {
    /// Whether the configuration names brokers.
    enabled: bool,
    partitions: Vec<PartitionShape>,
}

/// A partition that this node has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartitionShape {
    topic: String,
    partition: i32,
    /// The offset of the next message: everything before is stored. Null before the first.
    next_offset: Option<i64>,
    /// Messages that are not stored yet, as the brokers told last.
    lag_messages: i64,
    /// Age of the last stored message, where there are more.
    lag_seconds: Option<f64>,
    /// Why nothing is read now: the store, the registry or the brokers are away.
    waits_for: Option<String>,
    /// It stopped at a message that cannot be read (`on_error: halt`).
    halted: bool,
}

impl From<PartitionStatus> for PartitionShape {
    fn from(status: PartitionStatus) -> Self {
        Self {
            topic: status.of.topic.to_string(),
            partition: status.of.partition,
            next_offset: status.next,
            lag_messages: status.lag,
            lag_seconds: status.lag_seconds,
            waits_for: status.waits,
            halted: status.halted,
        }
    }
}

/// The partitions that this node reads now, with offset and lag.
#[utoipa::path(get, path = "/api/v1/kafka", tag = "operations",
    responses((status = 200, body = KafkaShape, description = "Partitions with offset and lag")))]
pub(crate) async fn get(Ready(parts): Ready) -> Json<KafkaShape> {
    let status = parts.kafka.as_ref().map(|kafka| kafka.status());
    let enabled = status.is_some();
    Json(KafkaShape { enabled, partitions: status.unwrap_or_default().into_iter().map(Into::into).collect() })
}
