//! Every guest has a test: one that nothing names is dead weight, and a hole in what we believe to be tested.

use std::collections::BTreeSet;

use crate::support::built;

#[test]
fn every_guest_is_named_by_a_test() {
    let mut tests = String::new();
    for entry in std::fs::read_dir(built::sources()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("guests.rs") {
            tests.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let mut untested = BTreeSet::new();
    for folder in ["guests/samples", "guests/hostile"] {
        for entry in std::fs::read_dir(built::sources().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_attack = sandbar_torture::attacks::all().any(|attack| attack.component() == name);
            if !is_attack && !tests.contains(&format!("\"{name}\"")) {
                untested.insert(name);
            }
        }
    }
    assert!(untested.is_empty(), "no test names {untested:?}");
}
