//! The functions of featherstar_core.h, as C sees them. Each takes an instance first.

#![allow(dead_code)]

use std::ffi::c_void;

macro_rules! exports {
    ($(fn $name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
        unsafe extern "C" {
            $(pub fn $name(core: *mut c_void $(, $parameter: $type)*) -> $result;)*
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/exports.rs"));
