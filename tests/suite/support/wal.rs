//! What stands in the write-ahead log of an SQLite file: a commit is a frame that says how large the file is then.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// What was committed since it was opened. Until then nothing that the log holds is forgotten: a reader that began before
/// holds it fast.
pub(crate) struct Since {
    reader: SqliteConnection,
    wal: std::path::PathBuf,
    before: Log,
}

/// So many commits, and so many bytes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) commits: usize,
    pub(crate) bytes: usize,
}

impl Since {
    /// From now on, in the database `file`.
    pub(crate) async fn now(file: &Path) -> Self {
        let url = format!("sqlite:{}", file.display());
        let mut reader = SqliteConnection::connect(&url).await.expect("the file opens");
        // Only a transaction that has read holds the log.
        let begin = sqlx::raw_sql("BEGIN; SELECT count(*) FROM sqlite_schema");
        begin.execute(&mut reader).await.expect("it reads");
        let wal = file.with_file_name(format!("{}-wal", file.file_name().expect("a file").display()));
        let before = Log::read(&wal);
        Self { reader, wal, before }
    }

    /// What was written until now.
    pub(crate) async fn written(self) -> Written {
        let after = Log::read(&self.wal);
        self.reader.close().await.expect("it closes");
        // A log that was all in the file already when the reader came was begun anew once, by the first commit after.
        let same = after.salt == self.before.salt;
        let before = if same { self.before.written } else { Written { commits: 0, bytes: 0 } };
        Written { commits: after.written.commits - before.commits, bytes: after.written.bytes - before.bytes }
    }
}

struct Log {
    salt: [u8; 8],
    written: Written,
}

impl Log {
    fn read(wal: &Path) -> Self {
        let bytes = std::fs::read(wal).unwrap_or_default();
        let mut log = Self { salt: [0; 8], written: Written { commits: 0, bytes: 0 } };
        if bytes.len() < HEADER {
            return log;
        }
        log.salt.copy_from_slice(&bytes[16..24]);
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let page = word(8) as usize;
        for frame in bytes[HEADER..].chunks_exact(FRAME + page) {
            // What is left of an older log carries another salt.
            if frame[8..16] != log.salt {
                break;
            }
            log.written.commits += usize::from(frame[4..8] != [0; 4]);
            log.written.bytes += frame.len();
        }
        log
    }
}
