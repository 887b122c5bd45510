//! Compiles the gate from C. The core is core.wasm here.

#[path = "../rust/layout.rs"]
mod layout;
#[path = "../rust/native.rs"]
mod native;

fn main() {
    layout::write();
    native::compile(&["featherstar_core.c"], "../rust/src/glue.c");
}
