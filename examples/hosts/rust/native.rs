//! For build scripts, this one's and that of ../wasmtime: compiles the C of the package. CC names the compiler, and
//! CFLAGS more flags for it.

use crate::layout;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Compiles dist/c, but for the files in `without`, and a file that joins it and Rust. Links all of it.
pub fn compile(without: &[&str], glue: &str) {
    let c = layout::c_folder();
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);

    let mut sources: Vec<PathBuf> = fs::read_dir(&c)
        .expect("dist/c is a folder")
        .map(|entry| entry.expect("dist/c can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .filter(|path| !without.iter().any(|name| path.ends_with(name)))
        .collect();
    sources.push(glue.into());
    let cc = env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let flags = env::var("CFLAGS").unwrap_or_default();
    let mut objects = Vec::new();
    for source in sources {
        let object = out.join(source.with_extension("o").file_name().expect("it is a file"));
        run(Command::new(&cc)
            .args(["-O2", "-fPIC"])
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
    for name in ["CC", "CFLAGS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed={glue}");
    println!("cargo:rerun-if-changed={}", c.display());
}
