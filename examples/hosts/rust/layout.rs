//! Offsets and numbers of featherstar.h as Rust constants, for build scripts: this one's, and that of ../wasmtime.
//!
//! FEATHERSTAR_C names the folder `dist/c` of the package; by default it is that of this repository.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// `_Static_assert(offsetof(struct featherstar_header, op_slots) == 40, "")` becomes HEADER_OP_SLOTS, and
/// `#define FEATHERSTAR_CODE_FULL (-5001)` becomes CODE_FULL.
fn constant(line: &str) -> Option<String> {
    let (name, value) = if let Some(rest) = line.strip_prefix("_Static_assert(offsetof(struct featherstar_") {
        let (name, value) = rest.split_once(") == ")?;
        (name.replace(", ", "_").to_uppercase(), value.split_once(',')?.0)
    } else {
        let (name, value) = line.strip_prefix("#define FEATHERSTAR_")?.split_once(' ')?;
        (name.to_string(), value.split(" /*").next()?.trim_matches(['(', ')']))
    };
    Some(format!("pub const {name}: i64 = {value};\n"))
}

/// The folder with the core in C.
pub fn c_folder() -> PathBuf {
    let c = env::var("FEATHERSTAR_C").map_or_else(|_| PathBuf::from("../../../dist/c"), PathBuf::from);
    fs::canonicalize(&c).unwrap_or_else(|error| panic!("{}: {error}; npm run build makes it", c.display()))
}

/// Writes `layout.rs` into the folder for built files.
pub fn write() {
    let header = c_folder().join("featherstar.h");
    let constants: String =
        fs::read_to_string(&header).expect("dist/c is complete").lines().filter_map(constant).collect();
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("layout.rs"), constants).expect("OUT_DIR can be written");
    println!("cargo:rerun-if-env-changed=FEATHERSTAR_C");
    println!("cargo:rerun-if-changed={}", header.display());
}
