//! The laws of `engine::store`: what every store promises, held on every dialect.
//!
//! Each law is a function over a fresh store; `laws!` makes a test of it for each dialect. Time is bound, not slept.

/// Makes every law a test on SQLite and a test on Postgres.
macro_rules! laws {
    ($($law:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $law() {
                super::$law(crate::support::stores::TestStore::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $law() {
                super::$law(crate::support::stores::TestStore::postgres().await).await;
            })+
        }
    };
}

mod board;
mod command;
mod entity;
mod interference;
mod key;
mod lease;
mod release;
mod replay;
mod step;
mod transaction;
mod trigger;
