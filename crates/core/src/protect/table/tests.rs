//! The table against the selectors that it is made of.
