//! One test suite for each seam of Skep.
