"""Alerts seen firing on a running stack whose rules are thirty times as fast: deploy/stack/fast."""
