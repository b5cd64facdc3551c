//! Answers stay right while what they are made of is sealed, archived and dropped under them (MOVE-1, GC-1).

use std::sync::atomic::{AtomicBool, Ordering};

use kit::Question;
use kit::oracle::Agg;

use super::asked::{WIDTHS, everything, range};
use super::given::{World, brief_retention, hour, series};
use super::late::{gauge, scrape};
use super::owners::Named;

/// Questions of every kind of reading: points, moments, sketches, groups.
fn questions() -> Vec<Question> {
    let whole = range(hour(-3).start().0, hour(1).start().0);
    let mut questions = vec![Question::raw(everything(), whole)];
    for width in WIDTHS.into_iter().flatten() {
        for agg in [Agg::Sum, Agg::Increase, Agg::Quantile(0.5), Agg::Quantile(0.99)] {
            questions.push(Question::buckets(everything(), whole, width, agg));
        }
        let merged = Question::buckets(everything(), whole, width, Agg::Last);
        questions.push(Question { group_by: Some(vec!["job".to_owned()]), ..merged });
    }
    questions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stay_right_while_tiers_change_under_them() {
    let mut world = World::at(hour(-3), brief_retention()).await;
    scrape(&mut world, -3, 0);
    world.seal().await;
    // Newer than the base, so that overlays are read too; one series has nothing else.
    let (gauge, late) = (gauge(), series("cpu_usage", &[("job", "late")]));
    let told: Vec<_> =
        (-3..0).flat_map(|at| [(&gauge, hour(at).start().0 + 5, 1.0), (&late, hour(at).start().0, 2.0)]).collect();
    world.append(&told);
    let done = AtomicBool::new(false);
    let jobs = async {
        for now in [0, 1, 3, 6, 9, 12] {
            world.move_to(hour(now));
            world.flush().await;
            world.settle().await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let asking = async {
        let (questions, mut named, mut next) = (questions(), Named::default(), 0);
        // At least once each, and until the last job is done.
        while next < questions.len() || !done.load(Ordering::SeqCst) {
            named.count(&world.ask_meanwhile(&questions[next % questions.len()]).await.provenance);
            next += 1;
        }
        for question in &questions {
            named.count(&world.ask(question).await.provenance);
        }
        named
    };
    let ((), named) = tokio::join!(jobs, asking);
    assert!(named.hot > 0 && named.cold > 0, "{named:?}");
}
