//! Tests of the full screen: its state, its input and its looks.

mod app;
mod fixture;
mod screens;
mod typing;
