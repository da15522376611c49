//! Rows and points: what the parts of the benchmark hand over, line by line, and the table made from them.

use crate::measure::Rounds;

/// What a row must show.
#[derive(Clone, Copy)]
pub enum Aim {
    /// Of libvirt's time, at most.
    OfLibvirt(f64),
    /// Of the bare system calls, at most.
    OfFloor(f64),
    /// Our own figure, at most.
    AtMost(f64),
    /// Our own figure, at least.
    AtLeast(f64),
}

/// One line of the table.
#[derive(Default)]
pub struct Row {
    pub name: String,
    pub unit: String,
    pub ours: f64,
    pub libvirt: Option<f64>,
    pub ratio: Option<f64>,
    pub floor: Option<f64>,
    pub aims: Vec<Aim>,
}

impl Row {
    /// From rounds of ours, libvirt's and, where there is a third thing, the floor; `scale` turns seconds into
    /// the unit.
    pub fn timed(name: impl Into<String>, unit: &str, scale: f64, rounds: &Rounds, aims: &[Aim]) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            ours: rounds.median(0) * scale,
            libvirt: Some(rounds.median(1) * scale),
            ratio: Some(rounds.ratio(1)),
            floor: (rounds.0.len() > 2).then(|| rounds.median(2) * scale),
            aims: aims.to_vec(),
        }
    }

    pub fn ours(name: impl Into<String>, unit: &str, ours: f64, aims: &[Aim]) -> Self {
        Self { name: name.into(), unit: unit.into(), ours, aims: aims.to_vec(), ..Self::default() }
    }

    /// Hands it over, from the process that measured it.
    pub fn say(&self) {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| value.to_string());
        let aims: Vec<String> = self.aims.iter().map(|aim| aim.code()).collect();
        println!(
            "@row\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            self.name,
            self.unit,
            self.ours,
            number(self.libvirt),
            number(self.ratio),
            number(self.floor),
            aims.join(" ")
        );
    }

    fn read(fields: &[&str]) -> Option<Self> {
        let [name, unit, ours, libvirt, ratio, floor, aims] = fields else { return None };
        let number = |text: &str| text.parse().ok();
        Some(Self {
            name: (*name).into(),
            unit: (*unit).into(),
            ours: number(ours)?,
            libvirt: number(libvirt),
            ratio: number(ratio),
            floor: number(floor),
            aims: aims.split_whitespace().filter_map(Aim::read).collect(),
        })
    }

    fn met(&self, aim: Aim) -> bool {
        match aim {
            Aim::OfLibvirt(most) => self.ratio.is_some_and(|ratio| ratio <= most),
            Aim::OfFloor(most) => self.floor.is_some_and(|floor| self.ours / floor <= most),
            Aim::AtMost(most) => self.ours <= most,
            Aim::AtLeast(least) => self.ours >= least,
        }
    }

    fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or("—".into(), short);
        let aims: Vec<String> = self.aims.iter().map(|aim| aim.text()).collect();
        let missed = self.aims.iter().any(|aim| !self.met(*aim));
        let verdict = if self.aims.is_empty() {
            ""
        } else if missed {
            "**missed**"
        } else {
            "met"
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {verdict} |",
            self.name,
            self.unit,
            short(self.ours),
            number(self.libvirt),
            number(self.ratio),
            number(self.floor),
            aims.join(", ")
        )
    }
}

impl Aim {
    fn code(self) -> String {
        match self {
            Self::OfLibvirt(value) => format!("l{value}"),
            Self::OfFloor(value) => format!("f{value}"),
            Self::AtMost(value) => format!("m{value}"),
            Self::AtLeast(value) => format!("a{value}"),
        }
    }

    fn read(code: &str) -> Option<Self> {
        let value = code.get(1..)?.parse().ok()?;
        Some(match code.as_bytes()[0] {
            b'l' => Self::OfLibvirt(value),
            b'f' => Self::OfFloor(value),
            b'm' => Self::AtMost(value),
            _ => Self::AtLeast(value),
        })
    }

    fn text(self) -> String {
        match self {
            Self::OfLibvirt(value) => format!("ratio ≤ {value}"),
            Self::OfFloor(value) => format!("≤ {value} × bare calls"),
            Self::AtMost(value) => format!("≤ {value}"),
            Self::AtLeast(value) => format!("≥ {value}"),
        }
    }
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// One point of a plot's line.
pub struct Point {
    pub plot: String,
    pub line: String,
    pub x: f64,
    pub y: f64,
}

pub fn point(plot: &str, line: &str, x: f64, y: f64) {
    println!("@point\t{plot}\t{line}\t{x}\t{y}");
}

/// All that the parts have handed over.
#[derive(Default)]
pub struct Results {
    pub rows: Vec<Row>,
    pub points: Vec<Point>,
}

impl Results {
    /// A line that is neither is somebody's message.
    pub fn take(&mut self, line: &str) -> bool {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["@row", ..] => self.rows.extend(Row::read(&fields[1..])),
            ["@point", plot, line, x, y] => {
                let (Ok(x), Ok(y)) = (x.parse(), y.parse()) else { return false };
                self.points.push(Point { plot: plot.into(), line: line.into(), x, y });
            }
            _ => return false,
        }
        true
    }

    /// In Markdown.
    pub fn table(&self) -> String {
        let head = "| | unit | libsvirt | libvirt | ratio | bare calls | aim | |\n|---|---|---|---|---|---|---|---|\n";
        let lines: Vec<String> = self.rows.iter().map(Row::line).collect();
        format!("{head}{}\n", lines.join("\n"))
    }
}
