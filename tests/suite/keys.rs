//! What a key is trusted with, tried to the end: crowds, crashes, zombies, lost requests.

mod atomic;
mod child;
mod crash;
mod crowd;
mod fault;
mod story;
