//! The suite that every channel passes.
