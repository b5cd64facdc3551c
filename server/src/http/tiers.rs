//! The tier map and the quarantine, rendered for people and scripts.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use schemas::tier_map::{Form, Thresholds, TierMap};
use schemas::{Hour, Resolution, RetentionClass};
use serde_json::{Value, json};

use super::gate::Ready;
use super::instant::rfc3339;
use super::problem::{ARCHIVE_ADVICE, Problem};

/// How long the archive may take to say what it holds.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Who owns which time at which resolution, what is sealed and archived, and what each tier holds. While the archive is
/// away `cold` is null, and `cold_unavailable` says so: the rest is wanted most then.
#[utoipa::path(get, path = "/api/v1/tiers", tag = "operations", responses((status = 200, description = "The tier map")))]
pub(crate) async fn get(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    let store = std::sync::Arc::clone(&parts.store);
    let local = parts.ingest_pool.run(move || (store.view(), store.inventory())).await;
    let (view, inventory) = (local.0, local.1.map_err(|e| Problem::failed(&e))?);
    let mut shape = map_shape(view.map());
    shape["local"] = crate::commands::inspect::local_shape(&inventory);
    match tokio::time::timeout(ARCHIVE_PATIENCE, parts.archive.inventory()).await {
        Ok(Ok(cold)) => shape["cold"] = crate::commands::inspect::cold_shape(&cold),
        Ok(Err(error)) if !error.is_unavailable() => return Err(Problem::failed(&error)),
        Ok(Err(_)) | Err(_) => {
            shape["cold"] = Value::Null;
            shape["cold_unavailable"] = json!(ARCHIVE_ADVICE);
        }
    }
    Ok(Json(shape))
}

/// The map itself.
pub(crate) fn map_shape(map: &TierMap) -> Value {
    json!({
        "version": map.version,
        "owners": owners(map),
        "intake_floor": rfc3339(map.intake_floor(RetentionClass::DEFAULT).start()),
        "sealed": ranges(map.sealed_through.keys().copied()),
        "archived": archived(map),
        "waiting_for_archive": ranges(waiting(map)),
        "quarantined": quarantined(map),
        "delta_versions": {
            "series": map.delta.series, "raw": map.delta.raw,
            "rollup_1m": map.delta.rollup_1m, "rollup_1h": map.delta.rollup_1h,
        },
    })
}

/// Hours that are set aside after a failure, with the reason.
#[utoipa::path(get, path = "/api/v1/quarantine", tag = "operations", responses((status = 200, description = "Hours set aside")))]
pub(crate) async fn quarantine(Ready(parts): Ready) -> Json<Value> {
    Json(quarantined(parts.store.view().map()))
}

fn quarantined(map: &TierMap) -> Value {
    let hour = |(hour, reason): (&Hour, &String)| json!({ "hour": rfc3339(hour.start()), "reason": reason });
    map.quarantined.iter().map(hour).collect()
}

/// Per class, form and resolution: from when on RocksDB owns, from when on Delta does; before that, nobody.
fn owners(map: &TierMap) -> Value {
    let mut classes: Vec<RetentionClass> = map.thresholds.keys().map(|(class, _, _)| *class).collect();
    classes.push(RetentionClass::DEFAULT);
    classes.sort_unstable();
    classes.dedup();
    let mut out = Vec::new();
    for class in classes {
        for (form, resolution) in Form::ALL.into_iter().flat_map(|f| Resolution::ALL.map(|r| (f, r))) {
            let Thresholds { hot_lo, cold_lo } = map.thresholds(class, form, resolution);
            out.push(json!({
                "class": class.name(),
                "form": form.as_str(),
                "resolution": resolution.as_str(),
                "tier": if resolution == Resolution::Raw { "hot" } else { "warm" },
                "local_from": since(hot_lo),
                "cold_from": since(cold_lo),
            }));
        }
    }
    Value::Array(out)
}

/// Null where ownership reaches back for ever.
fn since(hour: Hour) -> Value {
    if hour == Hour(0) { Value::Null } else { json!(rfc3339(hour.start())) }
}

fn archived(map: &TierMap) -> Value {
    let by_table = map.archived_through.iter().map(|((table, class), hours)| {
        json!({ "table": table.as_str(), "class": class.name(), "hours": ranges(hours.keys().copied()) })
    });
    by_table.collect()
}

fn waiting(map: &TierMap) -> impl Iterator<Item = Hour> {
    let mut classes: BTreeSet<RetentionClass> = map.archived_through.keys().map(|(_, class)| *class).collect();
    if classes.is_empty() {
        classes.insert(RetentionClass::DEFAULT);
    }
    let waits = move |hour: &Hour| classes.iter().any(|class| !map.is_archived(*class, *hour));
    map.sealed_through.keys().copied().filter(waits)
}

/// Hours as ranges of neighbours: `[{"from", "to", "hours"}]`, `to` exclusive.
pub(crate) fn ranges(hours: impl Iterator<Item = Hour>) -> Value {
    let mut out: Vec<(Hour, Hour)> = Vec::new();
    for hour in hours {
        match out.last_mut() {
            Some((_, end)) if *end == hour => *end = hour.next(),
            Some(_) | None => out.push((hour, hour.next())),
        }
    }
    let shape = |(from, to): (Hour, Hour)| json!({ "from": rfc3339(from.start()), "to": rfc3339(to.start()), "hours": to.0 - from.0 });
    out.into_iter().map(shape).collect()
}

#[cfg(test)]
mod tests {
    use schemas::Epoch;
    use schemas::tier_map::ColdTable;

    use super::*;

    #[test]
    fn neighbouring_hours_are_one_range() {
        let shape = ranges([Hour(1), Hour(2), Hour(5)].into_iter());
        assert_eq!(shape[0], json!({ "from": "1970-01-01T01:00:00Z", "to": "1970-01-01T03:00:00Z", "hours": 2 }));
        assert_eq!(shape[1]["hours"], 1);
    }

    #[test]
    fn an_hour_waits_until_every_table_holds_it() {
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(7), Epoch(3));
        for table in ColdTable::DATA {
            assert_eq!(waiting(&map).collect::<Vec<_>>(), [Hour(7)], "{table:?} is missing");
            map.archived_through.entry((table, RetentionClass::DEFAULT)).or_default().insert(Hour(7), Epoch(3));
        }
        assert_eq!(waiting(&map).count(), 0);
    }
}
