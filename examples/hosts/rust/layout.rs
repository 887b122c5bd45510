//! For build scripts, this one's and that of ../wasmtime: offsets and numbers of featherstar.h as Rust constants, and
//! the list of functions in featherstar_core.h as a call of the macro `exports!`.
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

/// A line of FEATHERSTAR_EXPORTS, `X(armTimer, F64(0) I32(1), uint32_t)`, becomes
/// `fn featherstar_armTimer(a0: f64, a1: u32) -> u32;`.
fn declaration(line: &str) -> Option<String> {
    let (list, _) = line.strip_prefix("\tX(")?.rsplit_once(')')?;
    let [name, parameters, result] = list.split(", ").collect::<Vec<_>>()[..] else { panic!("{line}") };
    let rust_type = |c: &str| match c {
        "I32" | "uint32_t" => "u32",
        "F64" => "f64",
        "void" => "()",
        _ => panic!("{line}"),
    };
    let parameters = parameters.split_whitespace().enumerate();
    let parameters: Vec<_> = parameters.map(|(i, each)| format!("a{i}: {}", rust_type(&each[..3]))).collect();
    Some(format!("    fn featherstar_{name}({}) -> {};\n", parameters.join(", "), rust_type(result)))
}

/// The folder with the core in C.
pub fn c_folder() -> PathBuf {
    let c = env::var("FEATHERSTAR_C").map_or_else(|_| PathBuf::from("../../../dist/c"), PathBuf::from);
    fs::canonicalize(&c).unwrap_or_else(|error| panic!("{}: {error}; npm run build makes it", c.display()))
}

/// The lines of a header, translated.
fn translate(header: &str, translated: fn(&str) -> Option<String>) -> String {
    let header = c_folder().join(header);
    println!("cargo:rerun-if-changed={}", header.display());
    let text: String = fs::read_to_string(&header).expect("dist/c is complete").lines().filter_map(translated).collect();
    assert!(!text.is_empty(), "{}: nothing was found", header.display());
    text
}

/// Writes `layout.rs` and `exports.rs` into the folder for built files.
pub fn write() {
    println!("cargo:rerun-if-env-changed=FEATHERSTAR_C");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let exports = translate("featherstar_core.h", declaration);
    for (name, text) in [
        ("layout.rs", translate("featherstar.h", constant)),
        ("exports.rs", format!("exports! {{\n{exports}}}\n")),
    ] {
        fs::write(Path::new(&out).join(name), text).expect("OUT_DIR can be written");
    }
}
