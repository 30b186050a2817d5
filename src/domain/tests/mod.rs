//! What tests of the domain and of the gateway have in common.

pub(crate) mod temporary;
