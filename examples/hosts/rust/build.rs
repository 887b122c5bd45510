//! Compiles the core and the gate from C.

mod layout;
mod native;

fn main() {
    layout::write();
    native::compile(&[], "src/glue.c");
}
