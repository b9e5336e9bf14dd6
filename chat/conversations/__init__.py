"""Deeds on conversations: check all that can fail, then store in one transaction. Sync, as models are."""
