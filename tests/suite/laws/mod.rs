//! The laws of `engine::store`: what every store promises, held on every dialect.
//!
//! Each law is a function over a fresh store; `laws!` makes a test of it for each dialect. Time is bound, not slept.

/// Makes every law a test on SQLite, on Postgres, and on Postgres behind a pooler that lends for transactions.
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
        mod pooler {
            $(#[tokio::test]
            async fn $law() {
                super::$law(crate::support::stores::TestStore::pooler().await).await;
            })+
        }
    };
}

/// Makes every law of keys and locks a test on SQLite, Postgres and Redis; those about rows that others write, and about
/// what has to be swept, on the databases alone, because Redis has neither.
macro_rules! memory_laws {
    ($($law:ident),+ $(,)?; databases: $($only:ident),* $(,)?) => {
        mod sqlite {
            $(memory_laws!(@test $law, sqlite);)+
            $(memory_laws!(@test $only, sqlite);)*
        }
        mod postgres {
            $(memory_laws!(@test $law, postgres);)+
            $(memory_laws!(@test $only, postgres);)*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(memory_laws!(@test $law, redis);)+
        }
    };
    (@test $law:ident, $store:ident) => {
        #[tokio::test]
        async fn $law() {
            super::$law(crate::support::keys::TestKeys::$store().await).await;
        }
    };
}

mod aside;
mod board;
mod clean_up;
mod command;
mod entity;
mod interference;
mod key;
mod key_life;
mod lease;
mod lock;
#[cfg(feature = "redis")]
mod redis;
mod regroup;
mod release;
mod replay;
mod reveal;
mod steering;
mod step;
mod their_rows;
mod transaction;
mod trigger;
mod workflow;
