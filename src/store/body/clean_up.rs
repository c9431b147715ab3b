//! What failed and nobody came back to: which onboardings are undone by themselves now.

use std::time::Duration;

use sqlx::query;

use super::{Conn, row::Columns};
use crate::{
    domain::id::{ActionId, OnboardingId},
    engine::command::{Asker, Command, Elsewhere, Submission, Target},
    store::value::Time,
};

/// At once at most; the next come a moment later.
const AT_MOST: i64 = 20;

/// Who asks for it, in the audit.
const WHO: &str = "redrive";

/// The roll-backs of those that failed `after` ago or earlier, oldest first. Asked for by many, each is one action.
pub(super) async fn due(
    conn: &mut Conn<'_>,
    now: Time,
    after: Duration,
) -> Result<Vec<Submission>, sqlx::Error> {
    let failed = "SELECT id, version FROM onboarding_history WHERE phase = 'failed' AND failed_at <= $1 \
        ORDER BY failed_at LIMIT $2";
    let rows = query(failed).bind(now.minus(after)).bind(AT_MOST).fetch_all(conn).await?;
    let reason = format!("it failed more than {} ago", humantime::format_duration(after));
    rows.iter()
        .map(|row| {
            let (id, version) = (row.text("id")?, row.int("version")?);
            let onboarding = Target { id: OnboardingId(id.clone()), seen: Some(version) };
            Ok(Submission {
                action: ActionId(format!("clean up {id} {version}")),
                asker: Asker::Operator(WHO.to_owned()),
                reason: Some(reason.clone()),
                command: Command::RollBack { onboarding, elsewhere: Elsewhere::Leave },
            })
        })
        .collect()
}
