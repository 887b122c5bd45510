//! Compiles the core and the gate from C, and turns offsets and numbers of featherstar.h into Rust constants.
//!
//! FEATHERSTAR_C names the folder `dist/c` of the package; by default it is that of this repository. CC names the
//! compiler, and CFLAGS more flags for it.

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

    let mut sources: Vec<PathBuf> = fs::read_dir(&c)
        .expect("dist/c is a folder")
        .map(|entry| entry.expect("dist/c can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.push("src/glue.c".into());
    let cc = env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let flags = env::var("CFLAGS").unwrap_or_default();
    let mut objects = Vec::new();
    for source in sources {
        let object = out.join(source.with_extension("o").file_name().expect("it is a file"));
        run(Command::new(&cc)
            .args(["-O2", "-D_GNU_SOURCE", "-fPIC"])
            .args(flags.split_whitespace())
            .arg("-I")
            .arg(&c)
            .args(["-c", "-o"])
            .arg(&object)
            .arg(&source));
        objects.push(object);
    }
    let archive = out.join("libfeatherstar.a");
    if archive.exists() {
        fs::remove_file(&archive).expect("OUT_DIR can be written"); // ar would keep what is in it
    }
    run(Command::new("ar").arg("rcs").arg(archive).args(objects));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=featherstar");
    for name in ["FEATHERSTAR_C", "CC", "CFLAGS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=src/glue.c");
    println!("cargo:rerun-if-changed={}", c.display());
}
