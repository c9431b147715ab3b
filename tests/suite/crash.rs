//! Workers that die, freeze or lose their database in the middle of everything: nothing is lost, nothing done twice.

mod audit;
mod crowd;
mod matrix;
mod skew;
mod world;
mod zombie;
