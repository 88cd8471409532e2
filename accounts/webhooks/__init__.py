"""Webhooks to customers, by Standard Webhooks: what happened is written with it, and delivered after it."""
