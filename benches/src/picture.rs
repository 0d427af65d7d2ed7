//! Bars as SVG, to look at in a page: groups of horizontal bars, one colour a series, values at their ends.

use std::fmt::Write;

/// What the length of a bar says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The value.
    Linear,
    /// Its logarithm; bars start at 1, and go to the left where less is.
    Logarithmic,
}

/// A picture of bars.
#[derive(Clone, Debug)]
pub struct Picture {
    title: String,
    scale: Scale,
    series: Vec<String>,
    groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 760.0;
/// Where bars start, behind the names of groups.
const LEFT: f64 = 190.0;
/// What is kept for numbers behind the longest bar.
const RIGHT: f64 = 60.0;
const BAR: f64 = 12.0;
const GAP: f64 = 8.0;
const HEAD: f64 = 34.0;
const LEGEND: f64 = 22.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#d29922", "#8957e5", "#6e7781", "#2da44e", "#cf222e"];

impl Picture {
    /// A picture without groups yet.
    pub fn new<S: Into<String>>(
        title: impl Into<String>,
        scale: Scale,
        series: impl IntoIterator<Item = S>,
    ) -> Self {
        let series = series.into_iter().map(Into::into).collect();
        Picture { title: title.into(), scale, series, groups: Vec::new() }
    }

    /// What it shows.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Adds a group: a value for each series, or none.
    pub fn group(&mut self, name: &str, values: impl IntoIterator<Item = Option<f64>>) {
        self.groups.push((name.to_string(), values.into_iter().collect()));
    }

    /// The picture.
    ///
    /// ```
    /// use sandbpf_benches::picture::{Picture, Scale};
    /// let mut picture = Picture::new("Speed & size", Scale::Linear, ["here"]);
    /// picture.group("one", [Some(2.0)]);
    /// let svg = picture.to_svg();
    /// assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    /// assert!(svg.contains("Speed &amp; size") && svg.contains(">2.00</text>"));
    /// ```
    pub fn to_svg(&self) -> String {
        let legend = if self.series.len() > 1 { LEGEND } else { 0.0 };
        let group = |values: &Vec<Option<f64>>| values.len() as f64 * BAR + GAP;
        let height = HEAD + legend + self.groups.iter().map(|(_, values)| group(values)).sum::<f64>() + GAP;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut svg, 10.0, 22.0, "start", "font-size=\"14\" font-weight=\"bold\" ", &self.title);
        if legend > 0.0 {
            let mut x = LEFT;
            for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
                rectangle(&mut svg, x, HEAD, BAR, BAR - 2.0, colour);
                text(&mut svg, x + BAR + 4.0, HEAD + BAR - 3.0, "start", "", series);
                x += BAR + 20.0 + 6.5 * series.chars().count() as f64;
            }
        }
        let axis = Axis::of(self);
        let mut y = HEAD + legend;
        for (name, values) in &self.groups {
            let middle = y + values.len() as f64 * BAR / 2.0 + 4.0;
            text(&mut svg, LEFT - 8.0, middle, "end", "", name);
            for (value, colour) in values.iter().zip(COLOURS.iter().cycle()) {
                if let Some(value) = *value {
                    let (from, to) = axis.bar(value);
                    rectangle(&mut svg, from, y, (to - from).max(1.0), BAR - 2.0, colour);
                    let number = crate::table::number(Some(value));
                    text(&mut svg, to + 4.0, y + BAR - 3.0, "start", "fill=\"#57606a\" ", &number);
                }
                y += BAR;
            }
            y += GAP;
        }
        if self.scale == Scale::Logarithmic {
            let (x, top) = (axis.place(1.0), HEAD + legend - 4.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"#24292f\" stroke-dasharray=\"3 3\"/>"
            );
        }
        svg + "</svg>\n"
    }
}

/// From values to places.
struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
}

impl Axis {
    fn of(picture: &Picture) -> Axis {
        let values = || picture.groups.iter().flat_map(|(_, values)| values).flatten().copied();
        let most = values().fold(f64::MIN_POSITIVE, f64::max);
        match picture.scale {
            Scale::Linear => Axis { scale: Scale::Linear, least: 0.0, most },
            Scale::Logarithmic => {
                let least = values().fold(1.0, f64::min).max(f64::MIN_POSITIVE);
                Axis { scale: Scale::Logarithmic, least: least.ln(), most: most.max(2.0).ln() }
            }
        }
    }

    fn place(&self, value: f64) -> f64 {
        let at = match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
        };
        LEFT + (at - self.least) / (self.most - self.least) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a bar starts and ends.
    fn bar(&self, value: f64) -> (f64, f64) {
        let start = match self.scale {
            Scale::Linear => LEFT,
            Scale::Logarithmic => self.place(1.0),
        };
        let end = self.place(value);
        (start.min(end), start.max(end))
    }
}

fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>");
}
