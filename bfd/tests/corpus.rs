//! What the fuzzer has found worth keeping (`fuzz/corpus/bfd`), through the same function that it calls.
#![allow(
    clippy::expect_used,
    reason = "the lint only exempts functions marked as tests"
)]

#[path = "../../fuzz/harness/bfd.rs"]
mod bfd_node;

#[test]
fn the_corpus_runs_clean() {
    let mut count = 0;
    for entry in std::fs::read_dir("../fuzz/corpus/bfd").unwrap() {
        let path = entry.unwrap().path();
        bfd_node::run(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 50, "{count} inputs");
}
