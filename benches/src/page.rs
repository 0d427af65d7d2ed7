//! The measured part of a page: what a run writes between two marks.

use thiserror::Error;

use crate::report::Section;
use crate::table::Table;

/// Starts the measured part.
pub const BEGIN: &str = "<!-- measured: begin -->\n";

/// Ends it.
pub const END: &str = "<!-- measured: end -->\n";

/// The page has no part to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the page has no measured part; it stands between the lines {} and {}", BEGIN.trim_end(), END.trim_end())]
pub struct NoMeasuredPart;

/// The page with another measured part.
///
/// ```
/// use sandbpf_benches::page::{BEGIN, END, NoMeasuredPart, replace_measured};
/// let page = format!("# Fast\n{BEGIN}slow\n{END}the end\n");
/// assert_eq!(replace_measured(&page, "fast\n")?, format!("# Fast\n{BEGIN}fast\n{END}the end\n"));
/// assert_eq!(replace_measured("# Empty\n", "fast\n"), Err(NoMeasuredPart));
/// # Ok::<(), NoMeasuredPart>(())
/// ```
pub fn replace_measured(page: &str, measured: &str) -> Result<String, NoMeasuredPart> {
    let (before, rest) = page.split_once(BEGIN).ok_or(NoMeasuredPart)?;
    let (_, after) = rest.split_once(END).ok_or(NoMeasuredPart)?;
    Ok([before, BEGIN, measured, END, after].concat())
}

/// What all sections say in short.
///
/// ```
/// let short = sandbpf_benches::page::in_short(&[("a call".to_string(), "2.00 ns".to_string())]);
/// assert_eq!(short, "### In short\n\n|        |         |\n|--------|--------:|\n| a call | 2.00 ns |\n");
/// ```
pub fn in_short(headlines: &[(String, String)]) -> String {
    let mut table = Table::new(["", ""]);
    for (what, figure) in headlines {
        table.row([what.as_str(), figure]);
    }
    format!("### In short\n\n{table}")
}

/// The file of a picture, beside the page.
pub fn picture_name(name: &str) -> String {
    format!("performance-{name}.svg")
}

/// A section with its pictures, as it stands on the page.
pub fn section(section: &Section) -> String {
    let mut text = format!("{}\n", section.text);
    for (name, picture) in &section.pictures {
        text += &format!("![{}]({})\n\n", picture.title(), picture_name(name));
    }
    text
}
