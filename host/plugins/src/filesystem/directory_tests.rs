//! Room in directories, tried on real ones.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::*;

const fn everything(bytes: u64) -> Limit {
    Limit {
        bytes,
        of: Counted::Everything,
    }
}

const fn added(bytes: u64) -> Limit {
    Limit {
        bytes,
        of: Counted::Added,
    }
}

/// A directory with one file of so many bytes, and that file, open.
fn with_file(bytes: u64) -> (tempfile::TempDir, Arc<Directory>, Arc<OpenNode>) {
    let path = tempfile::tempdir().expect("a temporary directory");
    fs::write(path.path().join("f"), vec![0; bytes as usize]).expect("a file");
    let directory = Directory::of(File::open(path.path()).expect("the directory")).expect("a directory");
    let node = open(&path, &directory);
    (path, directory, node)
}

fn open(path: &tempfile::TempDir, directory: &Arc<Directory>) -> Arc<OpenNode> {
    let file = OpenOptions::new().read(true).write(true).open(path.path().join("f"));
    OpenNode::of(directory, Arc::new(file.expect("the file"))).expect("a file")
}

fn set_len(node: &OpenNode, bytes: u64) {
    node.file.set_len(bytes).expect("a length");
}

/// What is added so far, and what is there.
fn check(directory: &Directory, added: u64, held: u64) {
    let books = directory.books();
    assert_eq!((books.added, books.held), (added, held));
}

#[tokio::test]
async fn each_limit_is_about_the_same_directory() {
    let (path, directory, node) = with_file(1_000);
    directory.count_up_to(1 << 20);
    directory.count(false).await;
    check(&directory, 0, ENTRY_BYTES + 1_000);
    let again = Directory::of(File::open(path.path()).expect("the directory")).expect("a directory");
    assert!(Arc::ptr_eq(&directory, &again));
    // Too little for one, enough for the other.
    assert!(node.write(Growth::To(2_000), everything(ENTRY_BYTES + 1_999)).is_none());
    let write = node
        .write(Growth::To(2_000), everything(ENTRY_BYTES + 2_000))
        .expect("room");
    set_len(&node, 2_000);
    write.landed();
    check(&directory, 1_000, ENTRY_BYTES + 2_000);
    assert!(node.write(Growth::By(1), added(1_000)).is_none());
    assert!(again.take_entry(added(1_000 + ENTRY_BYTES)) && !again.take_entry(everything(0)));
    again.give_back_entry();
    // What makes nothing longer needs no room.
    assert!(node.write(Growth::To(2_000), everything(0)).is_some());
}

#[tokio::test]
async fn what_others_do_is_seen_when_it_is_counted_again() {
    let (path, directory, node) = with_file(1_000);
    directory.count_up_to(1 << 20);
    directory.count(true).await;
    fs::write(path.path().join("g"), [0; 500]).expect("a file");
    directory.count(false).await;
    check(&directory, 0, ENTRY_BYTES + 1_000);
    directory.count(true).await;
    check(&directory, 0, 2 * ENTRY_BYTES + 1_500);
    // An open file counts, with a name and without.
    fs::remove_file(path.path().join("f")).expect("the file");
    directory.count(true).await;
    check(&directory, 0, ENTRY_BYTES + 1_500);
    drop(node);
    check(&directory, 0, ENTRY_BYTES + 500);
}

#[tokio::test]
async fn a_write_that_goes_on_keeps_its_room() {
    let (path, directory, node) = with_file(0);
    directory.count_up_to(1 << 20);
    let write = node.write(Growth::To(1_000), added(1_000)).expect("room");
    // The file is cut before the write has happened: what comes back is known when it has.
    let other = open(&path, &directory);
    directory.books().settle(other.id, 0);
    check(&directory, 1_000, 1_000);
    directory.count(true).await;
    check(&directory, 1_000, ENTRY_BYTES + 1_000);
    (&*node.file).write_all(&[0; 400]).expect("a write");
    write.landed();
    check(&directory, 400, ENTRY_BYTES + 400);
    // One that nobody waited for may happen at any time.
    drop(node.write(Growth::To(900), added(1_000)));
    drop((node, other));
    check(&directory, 900, ENTRY_BYTES + 900);
}

#[tokio::test]
async fn a_file_without_a_name_counts_until_it_is_closed() {
    let (path, directory, node) = with_file(0);
    let write = node.write(Growth::To(1_000), added(1_000)).expect("room");
    set_len(&node, 1_000);
    write.landed();
    let other = open(&path, &directory);
    fs::remove_file(path.path().join("f")).expect("the file");
    drop(node);
    check(&directory, 1_000, 1_000);
    drop(other);
    check(&directory, 0, 0);
}
