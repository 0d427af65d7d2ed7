//! Maps from compiled programs, beside a hash table and an array of Rust's.

use serde_json::json;

use super::{Failure, MEDIAN, Section, headline, how, ratio, time_json};
use crate::cli::Options;
use crate::lookups::{ArrayOf, KEYS, Table as Keyed, array, hash, operations};
use crate::picture::{Picture, Scale};
use crate::rounds::{Plan, Time};
use crate::table::{Table, geometric_mean, number};

/// Sizes of tables.
const ENTRIES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Sizes of tables to see that all runs.
const FEW: [u32; 1] = [1_000];

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let plan = options.plan;
    let entries: &[u32] = if plan.rounds > Plan::QUICK.rounds { &ENTRIES } else { &FEW };
    let mut hashes = Table::new(["keys, entries", "native ns", "jit ns", "interp ns", "jit / native"]);
    let mut picture = Picture::new(
        "Looking up a key of a hash map: times of a native table, less is better",
        Scale::Logarithmic,
        ["4 bytes", "8 bytes", "16 bytes", "32 bytes", "64 bytes"],
    );
    let mut numbers = Vec::new();
    let mut all = Vec::new();
    for &count in entries {
        let mut group = Vec::new();
        for keyed in
            [hash::<4>(count)?, hash::<8>(count)?, hash::<16>(count)?, hash::<32>(count)?, hash::<64>(count)?]
        {
            let (size, times) = times(keyed, plan)?;
            let to_native = ratio(times[1], times[0], MEDIAN);
            let each = [0, 1, 2].map(|at| number(times[at].map(MEDIAN)));
            hashes.row([format!("{size} bytes, {count}")].into_iter().chain(each).chain([number(to_native)]));
            numbers.push(json!({
                "key_size": size, "entries": count, "native": time_json(times[0]), "jit": time_json(times[1]),
                "interpreter": time_json(times[2]),
            }));
            all.push(to_native);
            group.push(to_native);
        }
        picture.group(&format!("{count} entries"), group);
    }
    let (mean, most) = (geometric_mean(all.iter().copied()), all.iter().flatten().copied().reduce(f64::max));
    let mut headlines = vec![
        headline("looking up a key of a hash map: our machine code's time / native's", mean, ""),
        headline("the same, at most", most, ""),
    ];
    let [mean, most] = [mean, most].map(number);
    let ArrayOf { subjects, names } = array()?;
    let mut subjects = subjects;
    let times: Vec<Option<Time>> = plan.measure(&mut subjects).into_iter().map(each_key).collect();
    let mut arrays = Table::new(["loop over 32 numbers", "ns a number", "above a plain load"]);
    for (at, name) in names.iter().enumerate() {
        // Each engine's plain load stands before its lookup.
        let (time, plain) = (times[at].map(MEDIAN), times[at & !1].map(MEDIAN));
        if at == 1 {
            let above = time.zip(plain).map(|(time, plain)| time - plain);
            headlines.push(headline(
                "looking up an element of an array, above a plain load: machine code",
                above,
                "ns",
            ));
        }
        let above = time.zip(plain).map_or("–".into(), |(time, plain)| format!("{:+.2}", time - plain));
        arrays.row([name.to_string(), number(time), above]);
        numbers.push(json!({ "array": name, "median_ns": time }));
    }
    let mut others = Table::new(["operation", "native ns", "jit ns", "interp ns", "jit / native"]);
    for (name, mut subjects) in operations()? {
        let times: Vec<Option<Time>> = plan.measure(&mut subjects).into_iter().map(each_key).collect();
        let cells = [0, 1, 2].map(|at| number(times[at].map(MEDIAN)));
        let to_native = number(ratio(times[1], times[0], MEDIAN));
        others.row([name.to_string()].into_iter().chain(cells).chain([to_native]));
        numbers.push(json!({
            "operation": name, "native": time_json(times[0]), "jit": time_json(times[1]),
            "interpreter": time_json(times[2]),
        }));
    }
    let text = format!(
        "### Maps\n\n\
         A verified XDP program looks up {KEYS} keys of a packet, all present, and adds what it finds; over 256 packets of \
         random keys. Native is the same loop over a hash table (hashbrown) with the map's hash. Nanoseconds a \
         key; {}, medians. Geometric mean of jit / native {mean}, at most {most}.\n\n{hashes}\n\
         An array of 1024 words, the same way; the plain load adds the numbers themselves.\n\n{arrays}\n\
         Other operations on 8192 keys of 8 bytes, the same way.\n\n{others}",
        how(plan)
    );
    let headlines = headlines.into_iter().flatten().collect();
    Ok(Some(Section { text, headlines, numbers: numbers.into(), pictures: vec![("maps", picture)] }))
}

/// A run looks up many keys.
fn each_key(time: Option<Time>) -> Option<Time> {
    let keys = f64::from(KEYS);
    time.map(|time| Time { min: time.min / keys, median: time.median / keys })
}

/// Native, compiled, interpreted.
fn times(mut keyed: Keyed, plan: Plan) -> Result<(usize, Vec<Option<Time>>), Failure> {
    let mut answers =
        keyed.subjects.iter_mut().map(|subject| subject.as_mut().map(|subject| subject.batch(1)));
    let right = answers.next().flatten();
    if answers.any(|answer| answer.is_some() && answer != right) {
        return Err(format!("maps of {} bytes: answers differ", keyed.key_size).into());
    }
    Ok((keyed.key_size, plan.measure(&mut keyed.subjects).into_iter().map(each_key).collect()))
}
