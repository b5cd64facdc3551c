//! Reading request bodies: bounded one by one, all together, and in time.
//!
//! headers ─▶ length refused early (413) ─▶ frames, each paid for from the budget of all bodies (503) ─▶ [`HeldBody`]
//!
//! What a body holds of the budget is given back when the [`HeldBody`] is dropped, that is, after its points are stored.
//! A body that is too large is read to a bounded end and thrown away, so that the client, which is still sending, gets
//! to see the 413 instead of a reset connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

/// The unit in which bodies pay.
const UNIT: usize = 1 << 10;
/// How many times the limit a too large body is read on, to be thrown away, and for how long.
const DRAIN_FACTOR: usize = 2;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A request body in memory, and its share of the budget.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

/// Bounds on bodies. One for all connections.
#[derive(Debug)]
pub(crate) struct BodyReader {
    /// Of one body.
    bytes_max: usize,
    timeout: Duration,
    budget: Arc<Semaphore>,
}

impl BodyReader {
    pub(crate) fn new(bytes_max: usize, in_flight_bytes_max: usize, timeout: Duration) -> Self {
        let units = (in_flight_bytes_max / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { bytes_max, timeout, budget: Arc::new(Semaphore::new(units)) }
    }

    /// Reads a body as it was sent, still encoded.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<HeldBody, Problem> {
        match tokio::time::timeout(self.timeout, self.collect(headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                Err(Problem::new(Kind::RequestTimeout, format!("the body did not arrive within {seconds} s")))
            }
        }
    }

    async fn collect(&self, headers: &HeaderMap, mut body: Body) -> Result<HeldBody, Problem> {
        let announced = content_length(headers);
        if let Some(length) = announced.filter(|length| *length > self.bytes_max) {
            // A client that announces more than would be drained is better told at once.
            if length <= self.drain_bytes_max() {
                self.drain(body).await;
            }
            return Err(self.too_large());
        }
        let mut share = self.pay(announced.unwrap_or(UNIT))?;
        let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(self.bytes_max));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Problem::bad_request(format!("the body could not be read: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.bytes_max {
                drop(bytes);
                self.drain(body).await;
                return Err(self.too_large());
            }
            let held = share.num_permits() * UNIT;
            if bytes.len() + data.len() > held {
                share.merge(self.pay(bytes.len() + data.len() - held)?);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(HeldBody { bytes: bytes.freeze(), _share: share })
    }

    fn pay(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.budget)
            .try_acquire_many_owned(units)
            .map_err(|_| Problem::new(Kind::Overloaded, "request bodies under way hold all of limits.bodies_in_flight"))
    }

    fn drain_bytes_max(&self) -> usize {
        self.bytes_max.saturating_mul(DRAIN_FACTOR)
    }

    async fn drain(&self, mut body: Body) {
        let mut left = self.drain_bytes_max();
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // Whether it came to its end or not: the answer is the same.
        drop(tokio::time::timeout(DRAIN_TIME, read).await);
    }

    fn too_large(&self) -> Problem {
        Problem::new(Kind::TooLarge, format!("the body is larger than {} bytes (limits.body)", self.bytes_max))
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};

    use super::*;

    fn reader() -> BodyReader {
        BodyReader::new(4 * UNIT, 8 * UNIT, Duration::from_secs(60))
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
        let mut headers = HeaderMap::new();
        let body = || Body::from(vec![0; 5 * UNIT]);
        let problem = reader().read(&headers, body()).await.expect_err("too large");
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(5 * UNIT));
        let problem = reader().read(&headers, body()).await.expect_err("too large");
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn bodies_share_one_budget_and_give_it_back() {
        let (reader, headers) = (reader(), HeaderMap::new());
        let body = || Body::from(vec![7; 4 * UNIT]);
        let first = reader.read(&headers, body()).await.expect("fits");
        let second = reader.read(&headers, body()).await.expect("fits");
        assert_eq!(first.bytes.len() + second.bytes.len(), 8 * UNIT);
        let problem = reader.read(&headers, body()).await.expect_err("nothing left");
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        reader.read(&headers, body()).await.expect("fits again");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_times_out() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let reader = BodyReader::new(UNIT, UNIT, Duration::from_millis(1));
        let problem = reader.read(&HeaderMap::new(), body).await.expect_err("never arrives");
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
