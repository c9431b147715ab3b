-- What failed long ago is undone by itself: the oldest first.
CREATE INDEX onboarding_history_failed ON onboarding_history (failed_at) WHERE phase = 'failed';
