//! Compiles the core in C into this program, and turns offsets and numbers of featherstar.h into Rust constants.
//!
//! FEATHERSTAR_C names the folder `dist/c` of the package; by default it is that of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

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

fn main() {
    let c = env::var("FEATHERSTAR_C").map_or_else(|_| PathBuf::from("../../../dist/c"), PathBuf::from);
    let c = fs::canonicalize(&c).unwrap_or_else(|error| panic!("{}: {error}; npm run build makes it", c.display()));
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);

    let header = fs::read_to_string(c.join("featherstar.h")).expect("dist/c is complete");
    let constants: String = header.lines().filter_map(constant).collect();
    fs::write(out.join("layout.rs"), constants).expect("OUT_DIR can be written");

    // The size of an instance, which Rust allocates, is only known to C.
    let source = "#include <stddef.h>\n#include \"featherstar_core.c\"\n\
                  const size_t host_core_bytes = sizeof(struct featherstar_core);\n";
    fs::write(out.join("core.c"), source).expect("OUT_DIR can be written");
    let cc = env::var("CC").unwrap_or_else(|_| "cc".to_string());
    run(Command::new(cc)
        .args(["-O2", "-D_DEFAULT_SOURCE", "-c", "-fPIC", "-o"])
        .arg(out.join("core.o"))
        .arg("-I")
        .arg(&c)
        .arg(out.join("core.c")));
    run(Command::new("ar")
        .arg("rcs")
        .arg(out.join("libfeatherstar.a"))
        .arg(out.join("core.o")));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=featherstar");
    println!("cargo:rerun-if-env-changed=FEATHERSTAR_C");
    println!("cargo:rerun-if-changed={}", c.display());
}
