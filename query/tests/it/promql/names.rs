//! Names of series and labels, and raw points for others.

use promql::column::Value;
use promql::eval::Grid;
use query::PromqlRequest;
use schemas::Retention;
use schemas::tier_map::Tier;
use schemas::time::HOUR_MS;

use super::both::{HOUR, counter, requests, samples, temperature};
use crate::given::{Given, MIDNIGHT, hours, metric};

#[tokio::test(flavor = "multi_thread")]
async fn names_of_series_and_labels_are_found_in_all_tiers() {
    let mut given = Given::empty_at(6).await;
    let mut other = given.beside("life-2").await;
    given.points(&requests("a"), counter(0, 2, 60_000));
    given.points(&temperature("a"), counter(0, 2, 60_000));
    other.points(&requests("theirs"), counter(0, 2, 60_000));
    for node in [&given, &other] {
        node.sealed().await;
        node.archived().await;
    }
    given
        .retained(Retention { hot_raw: HOUR, warm_rollup_1m: HOUR, warm_rollup_1h: HOUR, ..Retention::default() })
        .await;
    let engine = &given.engine;
    let found = engine.series(vec![metric("requests_total")], Some(hours(0, 3)), None).await.expect("answers");
    assert_eq!((found.value, found.truncated), (vec![requests("a"), requests("theirs")], false));
    let names = engine.label_names(Vec::new(), None, None).await.expect("answers");
    assert_eq!(names.value, ["__name__", "host", "of"]);
    let values = engine.label_values("host", Vec::new(), None, None).await.expect("answers");
    assert_eq!(values.value, ["a", "theirs"]);
    let metrics = engine.label_values("__name__", Vec::new(), Some(hours(0, 3)), Some(1)).await.expect("answers");
    assert_eq!((metrics.value, metrics.truncated), (vec!["requests_total".to_owned()], true));
    let vector = engine.promql(PromqlRequest::new("count(requests_total)", Grid::Instant(MIDNIGHT + HOUR_MS))).await;
    let vector = samples(vector.expect("answers").value);
    assert_eq!(vector.values().next(), Some(&Value::Float(2.0)));
    let raw = engine.raw(metric("requests_total"), hours(0, 1)).await.expect("answers");
    assert_eq!(raw.series.iter().map(|series| series.points.len()).collect::<Vec<_>>(), [60, 60]);
    assert_eq!(raw.provenance.tiers, [Tier::Cold]);
}
