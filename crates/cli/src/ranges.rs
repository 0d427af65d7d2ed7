//! Ascending numbers, kept as ranges: `1-5,9`.

use std::fmt;

use serde::{Serialize, Serializer};

/// Ascending numbers, kept as ranges; as JSON it is an array of pairs of the first and the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a number larger than all before.
    #[inline]
    pub(crate) fn push(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.0.push((number, number)),
        }
    }
}

impl Ranges {
    /// Adds numbers, each so much larger, that are then larger than all before.
    pub(crate) fn append(&mut self, more: &Ranges, larger: u64) {
        let mut more = more.0.iter().map(|&(first, last)| (first + larger, last + larger));
        if let Some((first, last)) = more.next() {
            match self.0.last_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => self.0.push((first, last)),
            }
        }
        self.0.extend(more);
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for &(first, last) in &self.0 {
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn ranges_are_joined() {
        let of = |numbers: &[u64]| {
            let mut ranges = Ranges::default();
            numbers.iter().for_each(|&number| ranges.push(number));
            ranges
        };
        let mut ranges = of(&[1, 2, 9]);
        ranges.append(&of(&[1, 2, 5]), 9);
        ranges.append(&of(&[]), 14);
        ranges.append(&of(&[2, 3]), 14);
        assert_eq!(ranges, of(&[1, 2, 9, 10, 11, 14, 16, 17]));
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.to_string(), "");
        [1, 2, 3, 5, 7, 8].into_iter().for_each(|number| ranges.push(number));
        assert_eq!(ranges.to_string(), "1-3,5,7-8");
        assert_eq!(serde_json::to_string(&ranges).unwrap(), "[[1,3],[5,5],[7,8]]");
    }
}
