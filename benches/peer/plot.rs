//! Plots of what the parts have measured, as SVG.

use crate::table::Results;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

/// Name, title, what x is.
const PLOTS: &[(&str, &str, &str)] = &[
    ("allocation", "A label made and given back", "pairs of categories left"),
    ("labelling", "Set and restore, each disk", "disks of the guest"),
    ("xml", "Domain XML read", "disks of the guest"),
    ("growth", "One more guest", "guests that run"),
];
const LIBVIRT: RGBColor = RGBColor(200, 60, 50);
const BARE: RGBColor = RGBColor(130, 130, 130);
const OURS: [RGBColor; 6] = [
    RGBColor(20, 110, 180),
    RGBColor(30, 150, 90),
    RGBColor(230, 150, 20),
    RGBColor(130, 80, 170),
    RGBColor(90, 60, 40),
    RGBColor(20, 170, 190),
];

pub fn draw(results: &Results, folder: &Path) -> Result<(), Box<dyn Error>> {
    for (name, title, x) in PLOTS {
        let points = || results.points.iter().filter(|point| point.plot == *name);
        let mut lines: Vec<&str> = Vec::new();
        points().for_each(|point| {
            if !lines.contains(&point.line.as_str()) {
                lines.push(&point.line)
            }
        });
        let range = |values: Vec<f64>| {
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            low / 1.2..high * 1.5
        };
        if lines.is_empty() {
            continue;
        }
        let path = folder.join(format!("{name}.svg"));
        let area = SVGBackend::new(&path, (760, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let xs = range(points().map(|point| point.x).collect());
        let ys = range(points().map(|point| point.y).collect());
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(xs.log_scale(), ys.log_scale())?;
        chart.configure_mesh().light_line_style(TRANSPARENT).x_desc(*x).y_desc("µs").draw()?;
        let mut colours = OURS.iter().cycle();
        for line in lines {
            let colour = match line {
                _ if line.starts_with("libvirt") => LIBVIRT,
                "bare calls" => BARE,
                _ => *colours.next().ok_or("no colour")?,
            };
            let of_line = || points().filter(|point| point.line == line).map(|point| (point.x, point.y));
            chart
                .draw_series(LineSeries::new(of_line(), colour.stroke_width(2)))?
                .label(line)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(of_line().map(|at| Circle::new(at, 3, colour.filled())))?;
        }
        let style = chart.configure_series_labels();
        let mut style = style;
        style.background_style(WHITE.mix(0.8)).position(SeriesLabelPosition::UpperLeft).draw()?;
        area.present()?;
    }
    Ok(())
}
