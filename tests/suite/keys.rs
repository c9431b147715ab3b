//! What a key is trusted with, tried to the end: crowds, crashes, zombies, lost requests, callers that give up.

mod atomic;
mod child;
mod crash;
mod crowd;
mod fault;
mod given_up;
mod story;
