//! Every part of the report can be told, however little is measured.

use sandbpf_benches::cli::Options;
use sandbpf_benches::page;
use sandbpf_benches::report::PARTS;
use sandbpf_benches::table::number;

fn options(arguments: &[&str]) -> Options {
    Options::parse(arguments.iter().map(ToString::to_string)).expect("these are options")
}

#[test]
fn every_part_has_a_heading_numbers_and_pictures() {
    let options = options(&["--quick", "--rounds", "1", "--only", "ethertype,sort,ret"]);
    let mut told = Vec::new();
    for part in PARTS {
        let section = (part.measure)(&options).unwrap_or_else(|error| panic!("{}: {error}", part.name));
        let Some(section) = section else {
            // These need what may not be here.
            assert!(["workloads", "corpus"].contains(&part.name), "{} is not told", part.name);
            continue;
        };
        assert!(section.text.starts_with("### ") && section.text.contains("\n|"), "{}", section.text);
        let all = section.numbers.to_string();
        assert!(all.contains("median_ns") || all.contains("rate") || all.contains("jit"), "{all}");
        let text = page::section(&section);
        for (name, picture) in section.pictures {
            let svg = picture.to_svg();
            assert!(svg.contains("<rect") && !svg.contains("NaN"), "{svg}");
            assert!(text.contains(&format!("({})", page::picture_name(name))), "{text}");
        }
        told.push(part.name);
    }
    assert!(told.len() >= 7, "{told:?}");
}

#[test]
fn programs_are_chosen_by_name() {
    let part = PARTS.iter().find(|part| part.name == "programs").expect("there is such a part");
    let none = (part.measure)(&options(&["--quick", "--only", "no-such-program"])).expect("nothing fails");
    assert!(none.is_none());
    let one = (part.measure)(&options(&["--quick", "--rounds", "1", "--only", "copy"])).expect("it runs");
    let programs = one.expect("it is measured").numbers;
    let names: Vec<_> =
        programs.as_array().expect("a list").iter().map(|row| row["program"].as_str()).collect();
    assert_eq!(names, [Some("copy")]);
}

#[test]
fn numbers_have_as_many_digits_as_mean_something() {
    assert_eq!([0.5, 9.994, 12.34, 123.4].map(|value| number(Some(value))), ["0.50", "9.99", "12.3", "123"]);
    assert_eq!(number(None), "–");
}
