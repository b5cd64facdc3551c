//! The accept loop: connections, bounded in number and in the time they may waste.
//!
//! accept (a permit each) ─▶ HTTP/1.1 or HTTP/2 by what the client speaks ─▶ router;  on stop: no new connections,
//! those that are open finish the request they are at

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use runtime::Tasks;
use runtime::tasks::Stage;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of request line and headers; a `u16` as `usize` and `u32` are both made of it.
const HEADER_BYTES_MAX: u32 = 64 << 10;
const HEADERS_MAX: usize = 100;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 256;
/// How long to wait when the system grants no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: usize,
    pub(crate) header_timeout: Duration,
}

/// Accepts until the token of [`Stage::Intake`] is cancelled. Each connection is a task of that stage.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    open: Gauge,
    tasks: Arc<Tasks>,
) {
    let stop = tasks.token(Stage::Intake);
    let room = Arc::new(Semaphore::new(limits.connections));
    let builder = Arc::new(builder(limits.header_timeout));
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => return,
            permit = Arc::clone(&room).acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        runtime::panic_point("server.listener.accepted");
        let (builder, router, stop, open) = (Arc::clone(&builder), router.clone(), stop.clone(), open.clone());
        tasks.spawn(Stage::Intake, "connection", async move {
            open.inc();
            connection(&builder, stream, router, stop).await;
            open.dec();
            drop(permit);
        });
    }
}

fn builder(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
    builder
}

async fn connection(builder: &Builder<TokioExecutor>, stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients that leave or speak something else: theirs to notice.
        tracing::debug!(%error, "connection ended");
    }
}
