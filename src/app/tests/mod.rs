//! Tests over several modules.

mod debug_output;
