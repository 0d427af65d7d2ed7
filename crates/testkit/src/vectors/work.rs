//! Judging many records on several threads, reporting them in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::judge::Judged;
use super::kind::Kind;
use super::record::Record;
use super::{Context, classic, judge};

/// Judges every record and hands each judgement, in the order of the file, to `done` together with how
/// many were done.
pub(crate) fn for_each(
    records: &[Record],
    context: &Context<'_>,
    jobs: usize,
    done: &mut dyn FnMut(&Record, Judged, usize),
) {
    let batches = batches(records);
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, batches.len().max(1)) {
            let (send, next, batches) = (send.clone(), &next, &batches);
            scope.spawn(move || {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let judged = judge_batch(&records[batch.clone()], context);
                    if send.send((batch.start, judged)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut count = 0;
        for (start, judged) in receive {
            early.insert(start, judged);
            while let Some(judged) = early.remove(&count) {
                for judged in judged {
                    count += 1;
                    done(&records[count - 1], judged, count);
                }
            }
        }
    });
}

/// Verdicts of one filter belong together: its programs are loaded once.
fn batches(records: &[Record]) -> Vec<Range<usize>> {
    const MOST: usize = 32;
    let together = |a: &Record, b: &Record| match (a.kind(), b.kind()) {
        (Kind::Verdict, Kind::Verdict) => a.value()["id"] == b.value()["id"],
        _ => false,
    };
    let mut batches: Vec<Range<usize>> = Vec::new();
    for (at, record) in records.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST && together(&records[batch.start], record) => {
                batch.end = at + 1
            }
            _ => batches.push(at..at + 1),
        }
    }
    batches
}

fn judge_batch(records: &[Record], context: &Context<'_>) -> Vec<Judged> {
    match records.first().map(Record::kind) {
        Some(Kind::Verdict) => classic::verdict::judge_batch(records, context),
        _ => records.iter().map(|record| judge(record, context)).collect(),
    }
}
