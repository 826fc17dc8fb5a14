//! The layout of small crates that are written for it, and that of this repository.

use std::fs;
use std::path::Path;

use super::arrows::{compared, told};
use super::circles::circles;
use super::modules::Modules;
use super::uses::uses;

/// The rooms of each circle of a crate with these files.
fn rooms(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let modules = Modules::read(&folder.path().join("lib.rs")).unwrap();
    circles(&uses(&modules)).into_iter().map(|circle| circle.rooms).collect()
}

#[test]
fn modules_that_use_each_other_are_a_circle() {
    let found = rooms(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub(crate) struct A;"),
        ("b.rs", "pub(crate) struct B(crate::c::C);"),
        ("c.rs", "pub(crate) struct C; fn f() { println!(\"{}\", crate::a::A); }"),
    ]);
    assert_eq!(found, [["a", "b", "c"]]);
}

#[test]
fn a_file_and_its_own_folder_are_one_room() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod part; pub(crate) struct A(part::Part);"),
        ("a/part.rs", "use super::A; pub(crate) struct Part(Option<Box<A>>);"),
        ("b.rs", "use crate::a::A;"),
    ];
    assert!(rooms(&files).is_empty());
    let mut back = files;
    back[2].1 = "use crate::b::B; pub(crate) struct Part(B);";
    back[3].1 = "use crate::a::A; pub(crate) struct B;";
    assert_eq!(rooms(&back), [["a", "b"]]);
}

#[test]
fn neighbours_within_a_folder_make_circles_too() {
    let found = rooms(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod x; mod y;"),
        ("a/x.rs", "use super::y::Y; pub(crate) struct X;"),
        ("a/y.rs", "use crate::a::x::X; pub(crate) struct Y;"),
    ]);
    assert_eq!(found, [["x", "y"]]);
}

#[test]
fn a_name_that_is_handed_on_leads_to_where_it_is_defined() {
    let found = rooms(&[
        ("lib.rs", "mod a; mod b; mod front; pub use a::A; pub(crate) use b::*;"),
        ("a.rs", "use crate::B; pub struct A;"),
        ("b.rs", "use crate::front::Renamed; pub struct B;"),
        ("front.rs", "pub(crate) use crate::A as Renamed;"),
    ]);
    assert_eq!(found, [["a", "b"]]);
}

#[test]
fn a_path_attribute_and_modules_within_a_file_hide_nothing() {
    let found = rooms(&[
        ("lib.rs", "#[path = \"odd/place.rs\"] mod a; mod b { use super::a::A; pub struct B; }"),
        ("odd/place.rs", "mod inner; use crate::b::B; pub struct A;"),
        ("odd/inner.rs", ""),
    ]);
    assert_eq!(found, [["a", "b"]]);
}

#[test]
fn an_import_of_the_parent_or_of_everything_hides_nothing() {
    // The parent's private import is visible below the parent.
    let found = rooms(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod x; mod y; use x::X; use y::Y;"),
        ("a/x.rs", "use super::Y; pub(crate) struct X;"),
        ("a/y.rs", "use super::*; pub(crate) struct Y(X);"),
    ]);
    assert_eq!(found, [["x", "y"]]);
    // A name that is handed on, reached by importing everything, twice.
    let found = rooms(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::*; pub(crate) struct A(C);"),
        ("b.rs", "pub(crate) use crate::d::*;"),
        ("d.rs", "pub(crate) use crate::c::C;"),
        ("c.rs", "use crate::a::A; pub(crate) struct C;"),
    ]);
    assert_eq!(found, [["a", "c"]]);
    // A name that a module hands on and uses itself.
    let found = rooms(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub(crate) struct A;"),
        ("b.rs", "pub(crate) use crate::a::A; pub(crate) struct B(A);"),
    ]);
    assert_eq!(found, [["a", "b"]]);
}

#[test]
fn what_the_first_file_defines_is_not_used_by_its_modules() {
    let found = rooms(&[
        ("lib.rs", "mod a; use a::A; pub struct Root(A);"),
        ("a.rs", "use crate::Root; pub struct A;"),
    ]);
    assert_eq!(found, [["a", "crate"]]);
}

#[test]
fn tests_are_left_out() {
    let found = rooms(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
    ]);
    assert!(found.is_empty());
}

#[test]
fn the_code_map_is_read_as_it_is_written() {
    let arrows = told(
        "| crate | what | uses |\n|---|---|---|\n\
         | `crates/wire` | bytes | – |\n\
         | `crates/link` | connections | wire |\n\
         | `crates/whole` | everything | all of the above |\n\
         | `benchmark` | load | all but link, and others' crates |\n\
         | `docs` | guides | – |\n",
    )
    .unwrap();
    let used = |name: &str| arrows[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(used("wire"), Vec::<&str>::new());
    assert_eq!(used("link"), ["wire"]);
    assert_eq!(used("whole"), ["link", "wire"]);
    assert_eq!(used("benchmark"), ["whole", "wire"]);
    assert_eq!(arrows.len(), 4);

    let mut real = arrows.clone();
    assert!(compared(&real, &arrows).is_empty());
    real.get_mut("wire").unwrap().insert("link".into());
    real.get_mut("link").unwrap().clear();
    let faults = compared(&real, &arrows);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("link does not use wire"), "{faults:?}");
    assert!(faults[1].starts_with("wire uses link"), "{faults:?}");
    assert!(told("no table").is_err());
}

#[test]
fn the_layout_of_this_repository_is_as_architecture_has_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let faults = super::faults(&folder).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
