//! Lists made of lists, for tables whose rows share some of what they name.

/// One list of several; `empty` stands in no place of it.
pub(crate) const fn join<T: Copy, const N: usize>(empty: T, parts: &[&[T]]) -> [T; N] {
    let mut all = [empty; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    assert!(at == N, "the length of a list is that of its parts");
    all
}
