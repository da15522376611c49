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
/// The width of what is written beside the lines.
const NAMES: u32 = 130;
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
        // Whole decades.
        let range = |values: Vec<f64>| {
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            10_f64.powf(low.log10().floor())..10_f64.powf(high.log10().ceil())
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
            .margin_right(NAMES)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(xs.log_scale(), ys.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(*x)
            .y_desc("µs")
            .x_label_formatter(&|value| value.to_string())
            .y_label_formatter(&|value| value.to_string())
            .draw()?;
        let mut colours = OURS.iter().cycle();
        let mut ends: Vec<(i32, i32, &str, RGBColor)> = Vec::new();
        for line in lines {
            let colour = match line {
                _ if line.starts_with("libvirt") => LIBVIRT,
                "bare calls" => BARE,
                _ => *colours.next().ok_or("no colour")?,
            };
            let of_line = || points().filter(|point| point.line == line).map(|point| (point.x, point.y));
            chart.draw_series(LineSeries::new(of_line(), colour.stroke_width(2)))?;
            chart.draw_series(of_line().map(|at| Circle::new(at, 3, colour.filled())))?;
            let right = of_line().max_by(|a, b| a.0.total_cmp(&b.0)).ok_or("an empty line")?;
            let (x, y) = chart.backend_coord(&right);
            ends.push((x, y, line, colour));
        }
        // Each line's name beside its end, none over another.
        ends.sort_by_key(|end| end.1);
        let mut free = 0;
        for (x, y, line, colour) in ends {
            let y = free.max(y - 6);
            free = y + 14;
            area.draw(&Text::new(line, (x + 10, y), ("sans-serif", 13).into_font().color(&colour)))?;
        }
        area.present()?;
    }
    Ok(())
}
