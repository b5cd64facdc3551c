//! The schema registry by HTTP.
//!
//! schema id ─▶ `GET <url>/schemas/ids/<id>` at each URL until one knows it ─▶ [`ingest::registry::read_answer`]
//!
//! Asked by the threads that decode, which wait for the answer; the request itself runs on the server's runtime. An
//! answer is bounded in time and bytes. Name and password stand in the URL (`https://name:password@host`), for which
//! the config takes them from the environment; they are sent as basic authorization and never told.
//! Not here: what is remembered of the answers ([`CachedSchemas`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ingest::registry::{ANSWER_BYTES_MAX, CachedSchemas, RegistryError, SchemaSource, read_answer};
use reqwest::Client;
use reqwest::header::ACCEPT;
use tokio::runtime::Handle;
use url::Url;

/// A registry that does not accept a connection for so long is away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// As is one that does not answer for so long.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// What the registry is asked to answer in; Confluent's own type, which others know as well.
const ANSWER_TYPE: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// The registry at `urls`, which are separated by commas; what it answers is remembered.
pub(crate) fn open(urls: &str, runtime: Handle) -> anyhow::Result<Arc<dyn SchemaSource>> {
    Ok(Arc::new(CachedSchemas::new(HttpRegistry::new(urls, runtime)?)))
}

/// One registry, which may answer at several URLs.
#[derive(Debug)]
struct HttpRegistry {
    client: Client,
    runtime: Handle,
    places: Vec<Place>,
}

/// Where to ask, and as whom.
struct Place {
    /// Without name and password, and without a slash at its end.
    url: String,
    user: Option<(String, Option<String>)>,
}

/// Without the password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Place {
    fn parse(text: &str) -> anyhow::Result<Self> {
        // The text may hold a password: it is not repeated.
        let mut url = Url::parse(text).context("kafka.registry: this is no URL")?;
        anyhow::ensure!(
            matches!(url.scheme(), "http" | "https") && url.host().is_some(),
            "kafka.registry: a URL must begin with http:// or https://"
        );
        let user = (!url.username().is_empty()).then(|| (decoded(url.username()), url.password().map(decoded)));
        let cannot = |()| anyhow::anyhow!("kafka.registry: this URL cannot have a name and a password");
        url.set_username("").map_err(cannot)?;
        url.set_password(None).map_err(cannot)?;
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), user })
    }
}

/// Undoes `%40` and the like.
fn decoded(text: &str) -> String {
    // As a value of a form a plus would be a space, which it is not here.
    let form = format!("={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

impl HttpRegistry {
    fn new(urls: &str, runtime: Handle) -> anyhow::Result<Self> {
        let places = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(Place::parse);
        let places = places.collect::<anyhow::Result<Vec<Place>>>()?;
        anyhow::ensure!(!places.is_empty(), "kafka.registry names no URL");
        let client = Client::builder().connect_timeout(CONNECT_PATIENCE).timeout(ANSWER_PATIENCE);
        Ok(Self { client: client.build().context("setting up HTTP")?, runtime, places })
    }

    /// Asks each place in turn. One that is away, or behind the others, does not matter where another knows the schema.
    async fn ask(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        let mut unknown = None;
        let mut away = Vec::new();
        for place in &self.places {
            match self.ask_at(place, id).await {
                Err(RegistryError::Unavailable { why, .. }) => away.push(format!("{}: {why}", place.url)),
                Err(error @ RegistryError::Unknown { .. }) => unknown = Some(error),
                known @ (Ok(_) | Err(RegistryError::Unusable { .. })) => return known,
            }
        }
        Err(unknown.unwrap_or_else(|| RegistryError::unavailable(away.join("; "))))
    }

    async fn ask_at(&self, place: &Place, id: u32) -> Result<Arc<str>, RegistryError> {
        let mut request = self.client.get(format!("{}/schemas/ids/{id}", place.url)).header(ACCEPT, ANSWER_TYPE);
        if let Some((name, password)) = &place.user {
            request = request.basic_auth(name, password.as_deref());
        }
        let away = |error: reqwest::Error| {
            // With its causes: "error sending request" alone says nothing.
            RegistryError::unavailable(format!("{:#}", anyhow::Error::from(error.without_url())))
        };
        let mut answer = request.send().await.map_err(away)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        // One byte past the limit tells an answer that is too large.
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            let room = ANSWER_BYTES_MAX + 1 - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        read_answer(id, status, &body)
    }
}

impl SchemaSource for HttpRegistry {
    /// Blocks: not to be called from the runtime's own threads.
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.runtime.block_on(self.ask(id))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Path;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio::runtime::Runtime;

    use super::*;

    /// A registry that knows schema 7, for those who say who they are.
    async fn answer(Path(id): Path<u32>, headers: HeaderMap) -> (StatusCode, String) {
        // `reader:p@ss+word`
        let known = headers.get("authorization").is_some_and(|sent| sent == "Basic cmVhZGVyOnBAc3Mrd29yZA==");
        match id {
            _ if !known => (StatusCode::UNAUTHORIZED, r#"{"error_code":401}"#.to_owned()),
            7 => (StatusCode::OK, r#"{"schema":"\"long\""}"#.to_owned()),
            8 => (StatusCode::OK, format!(r#"{{"schema":"{}"}}"#, "x".repeat(2 * ANSWER_BYTES_MAX))),
            _ => (StatusCode::NOT_FOUND, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
        }
    }

    /// Serves [`answer`] below `/registry`; returns host and port.
    fn serve(runtime: &Runtime) -> String {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let app = Router::new().route("/registry/schemas/ids/{id}", get(answer));
        runtime.spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_registry_is_asked_with_name_and_password_at_each_url_in_turn() {
        let runtime = runtime();
        let address = serve(&runtime);
        let good = format!("http://reader:p%40ss+word@{address}/registry/");
        // Nothing listens on port 1.
        let urls = format!("http://127.0.0.1:1, http://{address}/elsewhere ,{good}");
        let registry = HttpRegistry::new(&urls, runtime.handle().clone()).expect("URLs");
        assert_eq!(registry.schema(7).as_deref(), Ok("\"long\""));
        assert_eq!(registry.schema(9), Err(RegistryError::Unknown { id: 9 }));
        assert!(matches!(registry.schema(8), Err(RegistryError::Unusable { id: 8, .. })));
        assert!(!format!("{registry:?}").contains("ss+word"), "{registry:?}");
    }

    #[test]
    fn a_registry_that_is_away_or_refuses_us_is_unavailable_and_told_without_the_password() {
        let runtime = runtime();
        let address = serve(&runtime);
        for (url, told) in [
            ("http://reader:secret@127.0.0.1:1".to_owned(), "http://127.0.0.1:1: "),
            (format!("http://reader:secret@{address}/registry"), "it answered 401"),
            (format!("http://reader:secret@{address}"), "is its URL right?"),
        ] {
            let error = open(&url, runtime.handle().clone()).expect("a URL").schema(7).expect_err("away");
            assert!(error.is_retryable(), "{error}");
            assert!(error.to_string().contains(told) && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_registry_is_refused_without_repeating_it() {
        let runtime = runtime();
        for urls in ["", " , ", "secret@host", "ftp://secret@host", "secret:8081", "http://"] {
            let error = HttpRegistry::new(urls, runtime.handle().clone()).expect_err(urls);
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
    }
}
