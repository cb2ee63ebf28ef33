//! Transforms of groups, and what they make of the elements of a window.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::{Apply, Pair, text, texts};

/// What becomes of the elements of one window.
pub type OfAll = fn(&[Pair]) -> Vec<String>;

fn by_key(pairs: &[Pair]) -> BTreeMap<u8, Vec<i64>> {
    let mut groups = BTreeMap::<u8, Vec<i64>>::new();
    for (key, value) in pairs {
        groups.entry(*key).or_default().push(*value);
    }
    for values in groups.values_mut() {
        values.sort();
    }
    groups
}

fn of_groups<T: Debug>(pairs: &[Pair], f: impl Fn(&[i64]) -> T) -> Vec<String> {
    let groups = by_key(pairs);
    texts(groups.iter().map(|(key, values)| (key, f(values))))
}

pub const GROUPED: &[(&str, Apply, OfAll)] = &[
    (
        "min_per_key",
        |p| text(p.min_per_key("T")),
        |pairs| of_groups(pairs, |sorted| sorted[0]),
    ),
    (
        "max_per_key",
        |p| text(p.max_per_key("T")),
        |pairs| of_groups(pairs, |sorted| sorted[sorted.len() - 1]),
    ),
    (
        "sum_per_key",
        |p| text(p.sum_per_key("T")),
        |pairs| of_groups(pairs, |values| values.iter().sum::<i64>()),
    ),
    (
        "sum_globally",
        |p| text(p.values("Values").sum_globally("T")),
        |pairs| texts([pairs.iter().map(|pair| pair.1).sum::<i64>()]),
    ),
    (
        "count_per_key",
        |p| text(p.count_per_key("T")),
        |pairs| of_groups(pairs, <[i64]>::len),
    ),
    (
        "count_per_element",
        |p| text(p.count_per_element("T")),
        |pairs| {
            let different: BTreeSet<&Pair> = pairs.iter().collect();
            let count = |pair| pairs.iter().filter(|other| *other == pair).count();
            texts(different.into_iter().map(|pair| (pair, count(pair))))
        },
    ),
    (
        "count_globally",
        |p| text(p.count_globally("T")),
        |pairs| texts([pairs.len()]),
    ),
    (
        "group_by_key",
        |p| {
            text(p.group_by_key("T").map("Sort", |(key, mut values)| {
                values.sort();
                (key, values)
            }))
        },
        |pairs| of_groups(pairs, <[i64]>::to_vec),
    ),
    (
        "co_group_by_key",
        |p| {
            let moved = p.filter_map("Some", |(key, value)| (value > 0).then_some((key + 1, key)));
            let joined = p.co_group_by_key("T", &moved);
            text(joined.map("Sort", |(key, mut both)| {
                both.left.sort();
                (key, both.left, both.right)
            }))
        },
        |pairs| {
            let left = by_key(pairs);
            let positive = |key: u8| pairs.iter().filter(move |(k, v)| *k == key && *v > 0);
            let right = |key: u8| -> Vec<u8> {
                let from = key.checked_sub(1);
                from.into_iter().flat_map(positive).map(|p| p.0).collect()
            };
            let keys =
                (0..=u8::MAX).filter(|key| left.contains_key(key) || !right(*key).is_empty());
            texts(keys.map(|key| (key, left.get(&key).cloned().unwrap_or_default(), right(key))))
        },
    ),
];
