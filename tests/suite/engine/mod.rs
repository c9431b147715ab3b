//! Stories of the engine: a real worker on a real database, with a workflow whose steps do what the story says.

/// Makes every story a test on SQLite and a test on Postgres.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let store = crate::support::stores::TestStore::sqlite().await;
                super::$story(&store.url).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let store = crate::support::stores::TestStore::postgres().await;
                super::$story(&store.url).await;
            })+
        }
    };
}

mod commits;
mod file;
pub(crate) mod noop;
mod poison;
mod script;
mod stories;
mod troubles;
mod undoing;
mod workflows;

pub(crate) use file::read_only;
