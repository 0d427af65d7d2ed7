//! Classic filters on single packets, beside libpcap's interpreter.

use sandbpf::classic;
use serde_json::{Value, json};

use super::{Failure, MEDIAN, Section, headline, how, ratio, time_json};
use crate::classic::{COLUMNS, FILTERS};
use crate::cli::Options;
use crate::packets;
use crate::picture::{Picture, Scale};
use crate::table::{Table, geometric_mean, number};

/// What is said where libpcap is absent.
pub(super) const ABSENT: &str =
    "libpcap is not built in; `--features libpcap` compares with the system's.\n\n";

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let mut table = Table::new([
        "filter, packet",
        "libpcap ns",
        "interp ns",
        "jit ns",
        "libpcap / interp",
        "libpcap / jit",
    ]);
    let mut picture = Picture::new(
        "Classic filters: how many times faster than libpcap, more is better",
        Scale::Logarithmic,
        ["jit", "interpreter"],
    );
    let (mut all, mut headlines) = (Vec::new(), Vec::new());
    let mut ratios = [Vec::new(), Vec::new()];
    for filter in FILTERS {
        let first = ratios[0].len();
        for (packet_name, packet) in packets::all() {
            let mut subjects = filter.subjects(&packet);
            let answers = subjects.each_mut().map(|entry| entry.as_mut().map(|subject| subject.batch(1)));
            let right = u64::from(answer(&filter.insns(), &packet));
            for (column, answer) in COLUMNS.iter().zip(answers) {
                if answer.is_some_and(|answer| answer != right) {
                    return Err(format!("{column}: {} on {packet_name}: {answer:?}", filter.name).into());
                }
            }
            let times = options.plan.measure(&mut subjects);
            let of = |at: usize| times[at].map(MEDIAN);
            let to_interpreter = ratio(times[0], times[1], MEDIAN);
            let to_jit = ratio(times[0], times[2], MEDIAN);
            ratios[0].push(to_interpreter);
            ratios[1].push(to_jit);
            let cells = [of(0), of(1), of(2), to_interpreter, to_jit].map(number);
            table.row([format!("{}, {packet_name}", filter.name)].into_iter().chain(cells));
            let named: serde_json::Map<String, Value> =
                COLUMNS.iter().zip(&times).map(|(name, time)| (name.to_string(), time_json(*time))).collect();
            all.push(
                json!({ "filter": filter.name, "packet": packet_name, "answer": right, "times": named }),
            );
        }
        let mean = |at: usize| geometric_mean(ratios[at][first..].iter().copied());
        table.row([
            format!("{}, geometric mean", filter.name),
            String::new(),
            String::new(),
            String::new(),
            number(mean(0)),
            number(mean(1)),
        ]);
        picture.group(filter.name, [mean(1), mean(0)]);
        for (at, what) in [(1, "machine code"), (0, "interpreter")] {
            headlines.extend(headline(
                format!("`{}`: libpcap's time / our {what}'s", filter.name),
                mean(at),
                "",
            ));
        }
    }
    let absent = if cfg!(feature = "libpcap") { "" } else { ABSENT };
    let text = format!(
        "### Classic filters\n\n\
         Nanoseconds a packet, and libpcap's `bpf_filter` as a multiple of ours; {}, medians.\n\n{absent}{table}",
        how(options.plan)
    );
    Ok(Some(Section { text, headlines, numbers: all.into(), pictures: vec![("filters", picture)] }))
}

/// The verdict of the executable reference, which is neither of the engines.
fn answer(insns: &[classic::ClassicInsn], packet: &[u8]) -> u32 {
    let filter = classic::Filter::check(insns, classic::Dialect::Libpcap).expect("tcpdump wrote it");
    classic::reference::run(&filter, &classic::reference::Packet::new(packet))
        .expect("a filter of tcpdump ends")
}
