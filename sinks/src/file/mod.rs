//! Rotated files of whole lines, written exactly once across a kill.
