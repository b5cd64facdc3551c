//! A line plot for the terminal.

use textplots::{Chart, Plot, Shape};

/// Dots across and down; a character holds two by four.
const WIDTH: u32 = 160;
const HEIGHT: u32 = 48;

/// Values over hours since the first point, as text.
pub(super) fn text(points: &[(i64, f64)]) -> String {
    let Some((first, _)) = points.first() else { return String::new() };
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a plot has 160 dots")]
    let dots: Vec<(f32, f32)> = points.iter().map(|(ts, v)| ((ts - first) as f32 / 3_600_000.0, *v as f32)).collect();
    let last = dots.last().map_or(0.0, |(hours, _)| *hours).max(f32::EPSILON);
    let mut chart = Chart::new(WIDTH, HEIGHT, 0.0, last);
    let shape = Shape::Lines(&dots);
    let chart = chart.lineplot(&shape);
    chart.axis();
    chart.figures();
    format!("{chart}\n   hours since the first point")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_text_with_its_bounds() {
        let points: Vec<(i64, f64)> =
            (0..100).map(|i| (i * 60_000, f64::from(u32::try_from(i).expect("small")))).collect();
        let plot = text(&points);
        assert!(plot.contains("99.0") && plot.contains("0.0"), "{plot}");
        assert_eq!(text(&[]), "");
    }
}
