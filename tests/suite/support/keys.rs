//! A memory of keys and locks for a test, whether SQLite, Postgres or Redis: what their laws need and no more.

use std::sync::Arc;

use redrive::{
    engine::{key::KeyStore, lock::LockStore},
    store::{BoundTime, OpenOptions, open},
};

use super::stores::TestStore;

/// A memory under test.
pub(crate) struct TestKeys {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) locks: Arc<dyn LockStore>,
    pub(crate) time: BoundTime,
    place: Place,
}

enum Place {
    Sql(TestStore),
    #[cfg(feature = "redis")]
    Redis {
        url: String,
        prefix: String,
    },
}

/// The same memory, opened once more, as another process would.
pub(crate) type Handle = (Arc<dyn KeyStore>, Arc<dyn LockStore>);

impl TestKeys {
    pub(crate) async fn sqlite() -> Self {
        Self::sql_store(TestStore::sqlite().await)
    }

    pub(crate) async fn postgres() -> Self {
        Self::sql_store(TestStore::postgres().await)
    }

    fn sql_store(store: TestStore) -> Self {
        let (memory, time) = (store.opened.store.clone(), store.time.clone());
        Self { keys: memory.clone(), locks: memory, time, place: Place::Sql(store) }
    }

    /// On a Redis that others use too, under a prefix of its own.
    #[cfg(feature = "redis")]
    pub(crate) async fn redis() -> Self {
        let (url, time) = (super::redis::shared().await.to_owned(), BoundTime::default());
        time.set(super::stores::noon());
        let prefix = format!("{}:", redrive::clock::new_id());
        let memory = open_redis(&url, &prefix, &time).await;
        Self { keys: memory.clone(), locks: memory, time, place: Place::Redis { url, prefix } }
    }

    pub(crate) async fn again(&self) -> Handle {
        match &self.place {
            Place::Sql(store) => {
                let memory = store.again().await.store;
                (memory.clone(), memory)
            }
            #[cfg(feature = "redis")]
            Place::Redis { url, prefix } => {
                let memory = open_redis(url, prefix, &self.time).await;
                (memory.clone(), memory)
            }
        }
    }

    /// Its URL, and what its keys begin with where others keep theirs beside them.
    pub(crate) fn address(&self) -> (&str, &str) {
        match &self.place {
            Place::Sql(store) => (&store.url, ""),
            #[cfg(feature = "redis")]
            Place::Redis { url, prefix } => (url, prefix),
        }
    }

    /// What is written of a key under this name, the same on every store: `attempts`, `conflicts`.
    pub(crate) async fn written(&self, key: &str, name: &str) -> String {
        match &self.place {
            Place::Sql(store) => {
                store.cell(&format!("SELECT {name} FROM idempotency_keys WHERE key = '{key}'")).await
            }
            #[cfg(feature = "redis")]
            Place::Redis { url, prefix } => {
                super::redis::ask(url, &["HGET", &format!("{prefix}key:{key}"), name]).await
            }
        }
    }

    /// Whether a key whose time is over leaves nothing behind, not even until it is swept.
    pub(crate) fn forgets_by_itself(&self) -> bool {
        !matches!(self.place, Place::Sql(_))
    }

    /// The database, for laws about what others write in it.
    pub(crate) fn database(&self) -> &TestStore {
        match &self.place {
            Place::Sql(store) => store,
            #[cfg(feature = "redis")]
            Place::Redis { .. } => panic!("nobody else writes keys in Redis"),
        }
    }
}

/// The memory at an address that [`TestKeys::address`] gave, or at another that leads there.
pub(crate) async fn open_at(url: &str, prefix: &str, time: &BoundTime) -> Arc<dyn KeyStore> {
    #[cfg(feature = "redis")]
    if url.starts_with("redis:") {
        return open_redis(url, prefix, time).await;
    }
    assert_eq!(prefix, "", "a database belongs to one test");
    let options = OpenOptions { time: time.clone(), ..OpenOptions::default() };
    open(url, options).await.expect("it opens").store
}

#[cfg(feature = "redis")]
async fn open_redis(url: &str, prefix: &str, time: &BoundTime) -> Arc<redrive::store::redis::Redis> {
    let options = redrive::store::redis::RedisOptions {
        prefix: prefix.to_owned(),
        answer_timeout: std::time::Duration::from_secs(20),
        time: time.clone(),
        ..Default::default()
    };
    redrive::store::redis::open(url, options).await.expect("it opens")
}
