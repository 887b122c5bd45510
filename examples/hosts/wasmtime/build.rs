//! Turns offsets and numbers of featherstar.h into Rust constants.

#[path = "../rust/layout.rs"]
mod layout;

fn main() {
    layout::write();
}
