//! Jobs that somebody asks for, while others are under way.

use crate::given::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_a_seal_that_is_asked_for_passes_over_no_hour_that_is_being_archived() {
    let mut given = Given::an_archive();
    let node = given.node("a").await;
    let cpu = series("cpu", "a");
    given.move_to(hour(2));
    let mut all = Vec::new();
    let mut append = |second: i64| {
        let point = (cpu.clone(), hour(0).start().0 + second * 1_000, 1.5);
        node.append(&[(&point.0, point.1, point.2)]);
        all.push(point);
        model_of(&all)
    };
    for round in 0..10 {
        append(2 * round);
        node.seal().await;
        let model = append(2 * round + 1);
        tokio::join!(node.archive(), node.seal());
        node.archive().await;
        assert_eq!(read_whole(given.reader().await.as_ref()).await, model);
    }
}
