"""What people type into the shop: passwords, and questions to its assistant."""

from __future__ import annotations

import hashlib
import hmac
import re

ORDERS = re.compile(
    r"\b(ignore|disregard|forget)\b.{0,30}\b(previous|prior|above|all|your)\b.{0,30}\b(instructions?|rules?|prompts?)\b"
    r"|\b(reveal|print|repeat)\b.{0,30}\b(system|hidden|initial)\s+prompt\b"
    r"|\byou are now\b.{0,40}\b(unrestricted|developer mode|jailbroken)\b",
    re.IGNORECASE | re.DOTALL,
)
"""Orders to the model in place of a question. It finds the usual wordings, no more: a demo's guard, not a product."""


def password(user: str) -> str:
    """The password of a made-up user."""
    return hashlib.sha256(f"demo:{user}".encode()).hexdigest()[:12]


def may_enter(user: str, given: str) -> bool:
    """Whether this is the user's password."""
    return hmac.compare_digest(password(user).encode(), given.encode())


def is_injection(question: str) -> bool:
    """Whether a text tries to give the assistant orders."""
    return ORDERS.search(question) is not None


def reply(question: str) -> str:
    """Answer a question as well as the shop's assistant can."""
    if is_injection(question):
        return "I can only help with tea, cups and pots."
    about = next((thing for thing in ("tea", "cup", "pot") if thing in question.lower()), "our shop")
    return f"Thank you for asking about {about}. Delivery takes two days."
